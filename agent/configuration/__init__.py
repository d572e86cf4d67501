"""The station's own settings: one file, every mistake of it at once, secrets from elsewhere."""
