"""Models, gallery and decisions: arrays in, arrays out. Knows no Kafka, no S3, no SQL."""
