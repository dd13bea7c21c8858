"""Functions that run on a database thread: they take a Session and return wire structs. All SQL on tables is here."""
