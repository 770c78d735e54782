"""Proxies, sockets and ports: what all connections share."""
