"""What a gun is read from: evdev, serial, HID POS, camera."""
