"""Pure functions on people's words."""
