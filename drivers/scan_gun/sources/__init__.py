"""Input sources of a gun: evdev, serial, HID POS, camera."""
