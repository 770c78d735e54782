"""The cost of the pipeline compared with the bare models, in one run on the same frames."""
