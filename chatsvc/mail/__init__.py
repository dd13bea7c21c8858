"""Compose an e-mail and hand it to a mail server."""
