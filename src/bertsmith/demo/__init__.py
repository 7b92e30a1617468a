"""BERT's whole life on real text, in minutes on a laptop."""
