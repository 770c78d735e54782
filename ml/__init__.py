"""Models, gallery and decisions: arrays in, arrays out. Knows no Kafka, no S3, no SQL."""

import os

# onnxruntime's Linux builds since 1.29 report sessions to their maker (model, file names, hashes)
# unless this is set before they are imported. The models of a door camera are private.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
