"""The devices of the terminal: polled, debounced, and what is known of each."""
