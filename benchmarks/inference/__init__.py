"""The models without the pipeline: time, precision and angles."""
