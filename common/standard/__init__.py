"""Annex 2 as rules: profiles, opening hours, register, verdicts and their texts. Pure."""
