"""An HTTP/1.1 server for Tornado's Application: sockets, connections, client addresses."""
