"""Numbered scripts for playhouse.migrations, applied in order at start and by the command `migrate`."""
