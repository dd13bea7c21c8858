"""Numbered migrations, which playhouse.migrations applies in order: at start, or by `migrate`."""
