"""Counts the roundings at one node, and computes the share of a size that they amount to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.sweep.program import Program
from boundmesh.graph.forward import tensor
from boundmesh.kernels.matmul import BLOCK_DEPTH, BLOCK_ROUNDINGS
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import INFLATION, UNITS, Lengths, Rounded, Rounding, gamma

# The ends of an interval are computed from a centre and a radius, which adds this many roundings to
# those of the operator itself.
INTERVAL_ROUNDINGS = 6


@dataclass(frozen=True)
class Charge:
    """The number of roundings at one node.

    rounding   the two arithmetics, of this computation and of the network
    lengths    the roundings of an affine node's value and of its rows
    joins      the additions of coefficients from several readers
    additions  the additions of biases in a whole sweep
    depth      the roundings in the computation of the node's weights
    sizes      for each weight, the size to which its roundings are relative (None: its absolute
               values)
    blocks     true if rows are multiplied by the kernel of `matmul.py`
    rising     true if the node is a product whose weights all are zero or more
    """

    rounding: Rounding
    lengths: Lengths
    joins: int
    additions: int
    depth: int
    sizes: tuple[Tensor | None, ...] = ()
    blocks: bool = False
    rising: bool = False

    @staticmethod
    def of(program: Program, node: Node, rounding: Rounding, like: Tensor) -> Charge:
        """Count the roundings of a node; `like` has the dtype and device of the bounds."""
        graph, depth = program.graph, 0
        sizes: list[Tensor | None] = []
        for name in node.weights:
            formed = graph.formed.get(name)
            if formed is None or formed.size is None:
                sizes.append(None)
            else:
                size = np.broadcast_to(formed.size, graph.weights[name].shape)
                sizes.append(tensor(size).to(like) * INFLATION)
            inexact = like.dtype != torch.float64 and name not in graph.singles
            # A network in a narrow type holds weights that were rounded to it.
            cast = inexact or rounding.network > UNITS["float32"]
            depth = max(depth, (0 if formed is None else formed.depth) + cast)
        joins, additions = program.joins[node.name], program.additions
        lengths, blocks = program.lengths[node.name], rounding.blocks and RULES[node.op].by_blocks
        rising = node.name in program.nonnegative
        return Charge(rounding, lengths, joins, additions, depth, tuple(sizes), blocks, rising)

    @property
    def pull(self) -> int:
        """The roundings of rows at an affine node, in its product or in the sum with its bias."""
        lengths = self.lengths
        pull = lengths.pull
        if self.blocks:
            pull = BLOCK_ROUNDINGS + 8 + pull // BLOCK_DEPTH
        return max(pull, 1 + self.rounding.sum(lengths.summed)) if lengths.summed else pull

    def part(self, low: int, high: int, size: int) -> Charge:
        """Return the charge of the outputs `low ≤ i < high` of a product with `size` outputs."""
        if high - low == size:
            return self
        parts = (None if whole is None else whole[low:high] for whole in self.sizes)
        return replace(self, sizes=tuple(parts))

    def of_interval(self, forward: int) -> float:
        """Compute the share of its size by which an end of an interval is moved outward."""
        rounding = self.rounding
        if not forward and not self.depth:
            return 0.0
        blocks = BLOCK_ROUNDINGS if self.blocks else 0
        own = gamma(forward + self.depth + INTERVAL_ROUNDINGS + blocks, rounding.own)
        return own + gamma(forward + self.depth, rounding.network)

    def of_rows(self, term: Rounded) -> float:
        """Compute the share of a size that rows and the network can lose together."""
        pull = term.pull + self.joins + self.depth
        if term.summed:
            pull += self.rounding.sum(term.summed)
        if pull:
            pull += self.additions
        network = gamma(term.forward + self.depth, self.rounding.network)
        return gamma(pull, self.rounding.own) + network
