"""Database threads, connections, tables and migrations."""
