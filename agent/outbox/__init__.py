"""The outbox: one SQLite file, its writer, archive, retention and eviction."""
