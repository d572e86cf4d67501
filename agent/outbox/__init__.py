"""The outbox's room: the file, its one owner, and what else lies in it."""
