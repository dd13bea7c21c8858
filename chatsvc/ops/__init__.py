"""Metrics, readiness, logs and systemd: the interface for system administrators."""
