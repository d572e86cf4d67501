"""From the gun to the outbox, and what a capture means."""
