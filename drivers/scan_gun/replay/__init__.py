"""Recordings: replayed, listened to, and a gun learned from them."""
