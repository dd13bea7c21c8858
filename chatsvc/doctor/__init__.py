"""Check an installation and say how to fix what is wrong."""
