"""What the pipeline costs beside the bare models, measured in one run on the same frames."""
