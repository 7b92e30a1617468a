"""Strings to wordpieces; imports no torch."""
