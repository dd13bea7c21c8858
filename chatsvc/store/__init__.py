"""All SQL on tables: functions for database threads that return wire structs and emit nothing.

Those that only read take a `Connection`, the others a `Transaction`.
"""
