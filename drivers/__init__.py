"""Everything that touches a device, and nothing else: one folder a device class."""
