"""What users and staff can do. The only code that emits events."""
