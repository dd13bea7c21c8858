"""What browsers are sent: templates, static files, presentation."""
