"""Scan guns: keyboard wedges (evdev), serial and CDC-ACM, HID POS; each capture is exact or flagged as damaged."""
