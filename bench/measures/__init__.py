"""One module per group of figures; each has `measure(harness) -> list[Row]`."""
