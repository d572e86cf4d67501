"""The version, for messages and `--version`."""

VERSION = "0.1.0"  # as in pyproject.toml (a test compares them): importlib.metadata costs the daemon 0.9 MB
# Release day of this version, in UTC: no correct clock and no valid certificate has an earlier time. It changes
# with VERSION; a test compares both with the dated entry of CHANGELOG.md.
RELEASED = "2026-11-25"
