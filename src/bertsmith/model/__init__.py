"""Section 3 of the paper: the encoder, written for one device and free of kernels and ranks."""
