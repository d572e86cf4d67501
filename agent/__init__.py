"""The daemon at the station and its command line."""
