"""From the scan gun to the outbox: captures, control cards, feedback."""
