"""PyTorch modules → Graph, by way of ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from boundmesh.errors import UnsupportedError
from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads


def from_torch(module: nn.Module, example: Tensor | tuple[Tensor, ...]) -> Graph:
    """The module, in evaluation mode, as a Graph for inputs of the example's shapes and dtypes.

    Raises UnsupportedError where `torch.onnx.export` or boundmesh cannot translate it, ReadError
    for NaN or infinity in its weights. The module is left as it was.
    """
    arguments = (example,) if isinstance(example, Tensor) else tuple(example)
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
            raise UnsupportedError(
                f"torch.onnx.export cannot translate {type(module).__name__}: {reason}"
            ) from error
    return loads(data)


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, and every submodule's own mode again afterwards."""
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
    """What the exporter prints, warns and logs is about its own insides."""
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
