"""The detect agent: an image in, its faces out. It needs Kafka and its models only."""
