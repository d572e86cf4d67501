"""What is sent unasked: heartbeat and telemetry, and the outages of the link."""
