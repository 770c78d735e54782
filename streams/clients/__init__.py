"""Kafka clients: producers, consumers, TLS and SASL."""
