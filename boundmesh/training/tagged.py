"""Copies of a module whose parameters hold tags, numbers from which each of them can be recognised.

An exporter may transpose parameters, select from them and compute with them. The tags in a graph
show which number of which parameter a weight is. A weight that was computed holds other numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from boundmesh.errors import BoundmeshError, UnsupportedError

MOST = 2**25
"""The most parameters that tags can tell apart."""

FIRST, LAST = np.array([2.0**-4, 2.0**4], np.float32).view(np.int32).tolist()
"""The bits of the smallest tag, and of a number above the largest one."""

NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
            nn.FeatureAlphaDropout)  # fmt: skip

Read = Callable[[nn.Module], Tensor]
"""A function from a module to a tensor that its parameters give, with its gradient."""


@dataclass(frozen=True)
class Source:
    """A tensor that holds numbers of a graph's weights.

    name   its name in the copy of the module
    shape  its shape
    read   computes it from the module itself
    """

    name: str
    shape: torch.Size
    read: Read


class ChannelAffine(nn.Module):
    """A batch normalisation in evaluation mode: `x·factor + offset` for each channel."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        factor, offset = affine_of(norm)
        self.factor = nn.Parameter(factor.detach().clone())
        self.offset = nn.Parameter(offset.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *(1,) * (x.dim() - 2))
        return x * self.factor.reshape(shape) + self.offset.reshape(shape)


def affine_of(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return factor `γ/√(variance + ε)` and offset `β − mean·factor` of a batch normalisation."""
    assert isinstance(norm, NORMALISATIONS)
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    factor = torch.rsqrt(variance + norm.eps)
    if norm.affine:
        factor = factor * norm.weight
    offset = -mean * factor
    return factor, offset + norm.bias if norm.affine else offset


def check_modes(module: nn.Module) -> None:
    """Raise BoundmeshError where a layer computes something else in training mode.

    Bounds hold for the network in evaluation mode. They would not fit a network with dropout, or
    with a batch normalisation that uses the statistics of the batch.
    """
    for name, part in module.named_modules():
        what = None
        if isinstance(part, NORMALISATIONS) and (part.training or part.running_mean is None):
            what = "normalises with the statistics of the batch, which have no bounds"
            if part.running_mean is None:
                raise UnsupportedError(f"layer '{name}' ({type(part).__name__}) {what}")
        if isinstance(part, DROPOUTS) and part.training and part.p > 0:
            what = "drops values at random, which bounds cannot follow"
        if what is not None:
            raise BoundmeshError(
                f"layer '{name}' ({type(part).__name__}) is in training mode and {what}; call "
                "eval() on the module or on this layer before bounds are computed"
            )


def plain_copy(module: nn.Module) -> tuple[nn.Module, tuple[Source, ...]]:
    """Return a copy of a module on the CPU, in evaluation mode, and the parameters of the copy.

    Batch normalisations and parametrizations compute numbers from parameters alone. In the copy,
    these numbers are parameters themselves.
    """
    try:
        plain = copy.deepcopy(module).cpu().eval()
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise UnsupportedError(
            f"{type(module).__name__} cannot be copied, which bounds with gradients need: {error}"
        ) from error
    reads: dict[str, Read] = {}
    for name, part in [*plain.named_modules()]:
        if parametrize.is_parametrized(part):
            _keep_results(part)
        if isinstance(part, NORMALISATIONS):
            plain = _replaced(plain, name, ChannelAffine(part))
            for place, tensor in enumerate(("factor", "offset")):
                reads[_joined(name, tensor)] = _of_affine(name, place)
    sources = []
    for name, parameter in plain.named_parameters():
        if parameter.dtype not in (torch.float32, torch.float64):
            raise UnsupportedError(
                f"parameter '{name}' is of {parameter.dtype}; bounds with gradients need float32 "
                "or float64"
            )
        sources.append(Source(name, parameter.shape, reads.get(name) or _of_attribute(name)))
    return plain.requires_grad_(False), tuple(sources)


def tags_for(sources: tuple[Source, ...], seed: int) -> np.ndarray:
    """Return a tag for every number of the sources, in their order, as float32.

    All differ, also from those of the other seed, which is 0 or 1. Their signs and their order are
    random, so that no function of them, such as an absolute value, keeps them all.
    """
    count = sum(source.shape.numel() for source in sources)
    if count > MOST:
        raise UnsupportedError(
            f"the module has {count:,} parameters; bounds with gradients support {MOST:,}"
        )
    random = np.random.default_rng(seed)
    places = 2 * random.permutation(count).astype(np.int64) + seed
    steps = places * ((LAST - FIRST) // max(1, 2 * count))
    tags = (FIRST + steps).astype(np.int32).view(np.float32)
    signed: np.ndarray = tags * random.choice(np.array([-1, 1], np.float32), count)
    return signed


@torch.no_grad()
def write_tags(plain: nn.Module, tags: np.ndarray) -> None:
    """Put tags in place of all parameters."""
    parts = torch.from_numpy(tags).split([part.numel() for part in plain.parameters()])
    for parameter, part in zip(plain.parameters(), parts, strict=True):
        parameter.copy_(part.reshape(parameter.shape))


def _replaced(module: nn.Module, name: str, part: nn.Module) -> nn.Module:
    if not name:
        return part
    module.set_submodule(name, part)
    return module


def _keep_results(part: nn.Module) -> None:
    """Replace the parametrizations of a copied layer by their results.

    torch's own removal would change the layer's class, which the copy shares with the original.
    """
    assert isinstance(part.parametrizations, nn.ModuleDict)
    results = {tensor: getattr(part, tensor).detach().clone() for tensor in part.parametrizations}
    part.__class__ = type(part).__bases__[0]
    del part.parametrizations
    for tensor, result in results.items():
        part.register_parameter(tensor, nn.Parameter(result))


def _joined(module: str, tensor: str) -> str:
    return f"{module}.{tensor}" if module else tensor


def _of_affine(name: str, place: int) -> Read:
    return lambda module: affine_of(module.get_submodule(name))[place]


def _of_attribute(name: str) -> Read:
    home, _, tensor = name.rpartition(".")

    def read(module: nn.Module) -> Tensor:
        value: Tensor = getattr(module.get_submodule(home), tensor)
        return value

    return read
