"""Wordpieces to examples to batches; knows no model."""
