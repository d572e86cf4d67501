"""The video device: does the camera give a living picture, and are there microphone and speaker."""
