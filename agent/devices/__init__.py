"""Devices under watch: looked at in rounds, judged, shown on the board."""
