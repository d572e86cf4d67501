"""Facts: what the county has stored, and what it answers for."""
