"""The PostgreSQL that comes with the Python environment."""
