"""Encoders of which one can stand where another does; the folder is the registry."""
