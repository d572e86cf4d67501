"""The command line `yinong-agent`."""
