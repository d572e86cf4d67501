"""The live view of the stations in a terminal window."""
