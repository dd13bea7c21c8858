"""Run the PostgreSQL that is installed with the Python environment."""
