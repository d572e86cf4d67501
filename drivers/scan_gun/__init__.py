"""Scan guns: keyboard wedges (evdev), serial and CDC-ACM, HID POS; each capture is exact or says that it is damaged."""
