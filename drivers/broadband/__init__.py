"""The station's line: is it there, where is it broken, and how fast was it when last measured."""
