"""The HTTP gateway. Holds no model: photos go to the pipeline, answers come from it."""
