"""The daemon at the station, its command line and its local page."""

VERSION = "0.1.0"  # as in pyproject.toml (a test holds them together): importlib.metadata costs the daemon 0.9 MB
RELEASED = "2026-11-25"  # the day of this version, set with it: no true clock and no valid certificate stands before it
