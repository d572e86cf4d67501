"""The command line `yinong-agent`; it asks the daemon over its socket."""
