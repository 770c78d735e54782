"""Logs without secrets, the registry of metrics, request ids."""
