"""Options: the table, the parsers, and loading them."""
