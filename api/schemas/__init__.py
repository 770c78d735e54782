"""Requests and responses as pydantic models, one file for each resource."""
