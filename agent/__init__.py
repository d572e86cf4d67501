"""The daemon at the station, its command line and its local page."""
