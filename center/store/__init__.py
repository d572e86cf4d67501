"""Facts: what the county has stored, and the receipts that follow from it."""
