"""The terminal as a host: log, systemd, hardware fingerprint, write budget, key files."""
