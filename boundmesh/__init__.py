"""boundmesh proves properties of neural networks by bound propagation."""

__version__ = "0.1.0"
