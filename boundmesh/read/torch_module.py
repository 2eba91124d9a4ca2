"""Translates PyTorch modules into Graphs, by way of ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from boundmesh.errors import ReadError, UnsupportedError
from boundmesh.graph.graph import Graph
from boundmesh.ranges import shown
from boundmesh.rational import without_numbers
from boundmesh.read.onnx import loads
from boundmesh.read.remembered import Remembered

_GRAPHS: Remembered[Graph] = Remembered()


def from_torch(module: nn.Module, example: Any) -> Graph:
    """Translate the module, in evaluation mode, for inputs of the example's shapes and dtypes.

    The example is one input, as a tensor, an array, numbers or lists of them. It is a tuple of
    tensors or arrays where the module has several inputs. Raises UnsupportedError where
    `torch.onnx.export` or boundmesh cannot translate the module. Raises ReadError for anything that
    is no module or no example, and for NaN or infinity in either. The module is left as it was.

    The Graph is remembered as long as the module lives. It is returned again for inputs of the same
    shapes and dtypes, unless something that the module depends on has changed.
    """
    if not isinstance(module, nn.Module):
        raise ReadError(f"the module is {shown(module)}; expected a torch.nn.Module")
    arguments = inputs_of(example)
    return _GRAPHS(module, arguments, lambda: exported(module, arguments))


def exported(module: nn.Module, arguments: tuple[Tensor, ...], *, fold: bool = True) -> Graph:
    """Export a module by way of ONNX, and read it; raises UnsupportedError where that fails.

    Without `fold` no weight of the graph is computed from several weights of the file.
    """
    with evaluating(module), quiet():
        try:
            program = torch.onnx.export(
                module, arguments, dynamo=True, verbose=False, external_data=False
            )
            assert program is not None
            data = program.model_proto.SerializeToString()
        except Exception as error:
            # The exporter wraps whatever the module's own code and its decompositions raise.
            reason = str(error.__cause__ or error).strip().split("\n")[0]
            shapes = ", ".join(str(list(argument.shape)) for argument in arguments)
            raise UnsupportedError(
                f"torch.onnx.export cannot translate {type(module).__name__} for an input of shape "
                f"{shapes}: {reason}; the example, or the region, needs the shape that the module "
                "takes, with its batch axis, such as [1, 3, 32, 32]"
            ) from error
    return loads(data, fold=fold)


def inputs_of(example: Any) -> tuple[Tensor, ...]:
    """Return the example as a tensor for each input; raise ReadError where it is none."""
    several = isinstance(example, tuple) and any(
        isinstance(part, Tensor | np.ndarray) for part in example
    )
    return tuple(map(input_of, example)) if several else (input_of(example),)


def input_of(value: Any) -> Tensor:
    """Convert numbers, lists, an array or a tensor to a tensor; float32 if they have no dtype."""
    try:
        if kind := without_numbers(value):
            raise TypeError(f"it is {kind}")
        plain = not isinstance(value, Tensor | np.ndarray)
        tensor = torch.as_tensor(value, dtype=torch.float32 if plain else None)
        finite = bool(torch.isfinite(tensor.float() if tensor.itemsize == 1 else tensor).all())
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ReadError(
            f"the example is {shown(value)} ({error}); expected one input of the module, as a "
            "tensor, an array or lists of numbers, with its batch axis"
        ) from None
    if not finite:
        raise ReadError("the example holds NaN or infinity; expected an input of the module")
    return tensor


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Keep the module in evaluation mode in the context; restore each submodule's mode later."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the exporter's output, warnings and log in the context; they concern only itself."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
