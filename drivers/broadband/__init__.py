"""The station's line: is it up, where is it broken, and how fast was the last measurement."""
