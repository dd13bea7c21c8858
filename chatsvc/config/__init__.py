"""The table of options, their parsers, and loading them."""
