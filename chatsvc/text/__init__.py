"""Pure functions on text that people write or read."""
