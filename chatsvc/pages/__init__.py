"""What browsers get: templates, static files, presentation."""
