"""The event contract as an AsyncAPI document and JSON Schemas, generated from the code."""
