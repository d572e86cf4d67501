"""The life of the station, as it can be proved afterwards: see the README of this room."""
