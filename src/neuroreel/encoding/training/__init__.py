"""Training of encoding models."""
