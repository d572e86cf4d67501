"""From keys or bytes to one capture: framing, characters, damage. Pure."""
