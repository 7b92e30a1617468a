"""BERT beside the systems that it replaced, on the same text."""
