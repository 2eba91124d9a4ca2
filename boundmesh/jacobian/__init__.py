"""Bounds of the Jacobian of a network on a region, and certified local Lipschitz constants."""
