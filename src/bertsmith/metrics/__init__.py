"""Accumulators that see one batch after another and give figures at the end."""
