"""Simulated stations: a fleet, each with an outbox and a life of its own."""
