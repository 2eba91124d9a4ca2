"""Regions of inputs: boxes and balls, held exactly as they were given."""

from boundmesh.regions.ball import NORMS, Ball
from boundmesh.regions.box import Box, Point
from boundmesh.regions.clip import ends_of

__all__ = ["NORMS", "Ball", "Box", "Point", "ends_of"]
