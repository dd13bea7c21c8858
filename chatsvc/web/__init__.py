"""The listening side of HTTP: server, sockets, client addresses."""
