"""The county side."""
