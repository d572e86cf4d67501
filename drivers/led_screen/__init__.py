"""The LED screen: whether a display is connected, and how large it is."""
