"""The video device: whether the camera delivers a live picture, and whether there are microphone and speaker."""
