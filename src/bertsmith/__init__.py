"""Make and use BERT: from raw text to predictions."""
