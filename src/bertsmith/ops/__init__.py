"""Arithmetic that has more than one implementation; the plain one is the definition."""
