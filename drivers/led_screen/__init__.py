"""The LED screen: is a display connected, and how large is it."""
