"""The command line `yinong-center`."""
