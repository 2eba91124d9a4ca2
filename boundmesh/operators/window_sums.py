"""Sums over the coefficients of rows that are stored in windows."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.kernels import fused_rows
from boundmesh.operators.rounding import CHUNK


def sums(products: Tensor) -> Tensor:
    """Add up products `[D, S, *]` of each row, `[D, S]`.

    A window has fewer places than the map, so its sum passes no more roundings than `Rounding.sum`
    counts for the map: it is added in chunks, or by the kernel that sums over dense rows.
    """
    flat = products.flatten(2)
    length = flat.shape[2]
    if not torch.is_grad_enabled():
        ones = flat.new_ones(1, 1, length)
        if fused_rows.sums(flat, ones, ones):
            return fused_rows.signed_inner(flat, ones, ones)
    if length <= CHUNK:
        return flat.sum(2)
    whole = length - length % CHUNK
    total = flat[..., :whole].unflatten(2, (-1, CHUNK)).sum(3).sum(2)
    result: Tensor = total if whole == length else total + flat[..., whole:].sum(2)
    return result


def sums_of_magnitudes(products: Tensor) -> Tensor:
    """Add up the absolute values of products `[D, S, *]` of each row, `[D, S]`.

    No number passes more roundings than `INFLATION` covers.
    """
    flat = products.flatten(2)
    whole = flat.shape[2] - flat.shape[2] % CHUNK
    if whole <= CHUNK:
        return _norm(flat, 2)
    chunks = _norm(flat[..., :whole].unflatten(2, (-1, CHUNK)), 3)
    return chunks.sum(2) + _norm(flat[..., whole:], 2)


def _norm(values: Tensor, dim: int) -> Tensor:
    result: Tensor = torch.linalg.vector_norm(values, 1, dim=dim)
    return result
