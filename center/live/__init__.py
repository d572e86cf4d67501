"""The stations live in a terminal."""
