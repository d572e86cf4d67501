"""agent.toml: settings, devices, secrets, and every mistake at once."""
