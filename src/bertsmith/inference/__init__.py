"""Asking a trained model: predictions, figures on a file, and words for [MASK]."""
