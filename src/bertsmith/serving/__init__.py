"""Models behind HTTP: requests of many clients in common batches, within stated limits."""
