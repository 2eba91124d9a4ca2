"""The graph of a module with the module's own parameters as weights, remembered while it lives."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from boundmesh.bounds.sweep.program import Program
from boundmesh.errors import UnsupportedError
from boundmesh.graph.forward import forward
from boundmesh.graph.graph import Graph
from boundmesh.read.torch_module import exported
from boundmesh.training.live_weights import LiveWeights, recognise
from boundmesh.training.tagged import check_modes, plain_copy, tags_for, write_tags

AGREES = 1e-3
"""How far, relative to the largest output, the graph may be from the module at a point."""


@dataclass(frozen=True)
class ModuleNetwork:
    """A module's graph, and where its weights stand in the module.

    form     what the export depends on besides the values of parameters
    program  the plan for bounding the graph's output
    weights  the weights of the graph
    """

    form: object
    program: Program
    weights: LiveWeights

    @property
    def graph(self) -> Graph:
        return self.program.graph


_NETWORKS: weakref.WeakKeyDictionary[nn.Module, ModuleNetwork] = weakref.WeakKeyDictionary()


def network_of(module: nn.Module, x: Tensor) -> tuple[ModuleNetwork, dict[str, Tensor]]:
    """Return a module's network and its weights, with gradients to the module's parameters.

    The module is exported at the first call, and again if something else than its parameters
    changed. `x` `[1, *input_shape]` is a point at which the graph is compared with the module.
    Raises UnsupportedError where they differ, and BoundmeshError for a layer in training mode.
    """
    check_modes(module)
    form = _form(module, x)
    known = _NETWORKS.get(module)
    if known is not None and known.form == form:
        weights = known.weights.of(module, x)
        if _agrees(known.graph, weights, module, x):
            return known, weights
    made = _export(module, x, form)
    weights = made.weights.of(module, x)
    if not _agrees(made.graph, weights, module, x):
        raise UnsupportedError(
            f"{type(module).__name__} computes something else than its export in evaluation mode; "
            "bounds with gradients need a module whose result depends on input and parameters "
            "alone: call eval(), or leave out what is random"
        )
    _NETWORKS[module] = made
    return made, weights


def _export(module: nn.Module, x: Tensor, form: object) -> ModuleNetwork:
    plain, sources = plain_copy(module)
    graphs, tags = [], []
    for seed in range(2):
        tags.append(tags_for(sources, seed))
        write_tags(plain, tags[-1])
        graphs.append(exported(plain, (x.detach().cpu(),), fold=False))
    weights = recognise(sources, graphs, tags)
    return ModuleNetwork(form, Program(graphs[0], graphs[0].output), weights)


@torch.no_grad()
def _agrees(graph: Graph, weights: Mapping[str, Tensor], module: nn.Module, x: Tensor) -> bool:
    output = module(x)
    if not isinstance(output, Tensor):
        raise UnsupportedError(
            f"{type(module).__name__} returns {type(output).__name__}; bounds with gradients need "
            "a module that returns one tensor"
        )
    ours = forward(graph, weights, x).flatten()
    theirs = output.flatten().to(ours)
    if len(ours) != len(theirs):
        return False
    far = (ours - theirs).abs().max() if len(ours) else ours.new_zeros(())
    scale = theirs.abs().max() if len(ours) else far
    # NaN in the module itself is not the export's fault.
    return bool(far <= AGREES * (1 + scale)) or not bool(theirs.isfinite().all())


def _form(module: nn.Module, x: Tensor) -> object:
    """Describe what an export depends on: shapes, types, buffers, and how layers describe
    themselves."""
    parameters = tuple((n, tuple(p.shape), p.dtype) for n, p in module.named_parameters())
    normalised = {
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm)
    }
    buffers: list[Any] = []
    for name, buffer in module.named_buffers():
        if name.rpartition(".")[0] not in normalised:
            numbers = buffer.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            buffers.append((name, tuple(buffer.shape), blake2b(numbers.data).digest()))
    return tuple(x.shape), x.dtype, parameters, tuple(buffers), repr(module)
