"""Tests compare kernels as users run them: box_of_y on, where there is a GPU for them."""

from boundmesh.selfcheck.turn_on import turn_on

turn_on()
