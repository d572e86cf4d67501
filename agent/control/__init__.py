"""Answers for people: the daemon's socket, and the county's commands."""
