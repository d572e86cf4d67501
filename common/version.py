"""The version, for messages and `--version`."""

VERSION = "0.1.0"  # as in pyproject.toml (a test holds them together): importlib.metadata costs the daemon 0.9 MB
# The day of this version, in UTC: no true clock and no valid certificate stands before it. It moves with VERSION, which a test
# holds to CHANGELOG.md, where a release is dated.
RELEASED = "2026-11-25"
