"""The devices: polled, debounced, and their state published."""
