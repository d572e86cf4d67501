"""What is sent unasked: heartbeat, telemetry, and the outages of the link."""
