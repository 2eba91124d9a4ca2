"""Bounds with gradients, for certified training."""
