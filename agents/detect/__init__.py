"""The detect agent: finds the faces in an image. It needs only Kafka and its models."""
