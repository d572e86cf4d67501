"""The county side: recorder, live view, simulated fleet."""
