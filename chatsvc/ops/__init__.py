"""What operators see: metrics, readiness, logs, systemd."""
