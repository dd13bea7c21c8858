"""One module per group of figures; each has `measure(arena) -> list[Row]`."""
