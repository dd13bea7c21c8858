"""Open event streams, from the socket to the registry."""
