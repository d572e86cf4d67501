"""Simulated stations: a fleet, each with an outbox and events of its own."""
