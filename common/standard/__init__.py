"""What the county asks of a station, and what it says of what was seen: pure."""
