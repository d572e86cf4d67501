"""What a scanned text means, and what it may become. Pure."""
