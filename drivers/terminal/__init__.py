"""The terminal itself: can this computer serve the counter?"""
