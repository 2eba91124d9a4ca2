"""Whether boundmesh reads a form as ONNX Runtime computes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from boundmesh.errors import BoundmeshError
from boundmesh.read.agreement import output_box, own
from boundmesh.read.inner_values import agrees
from boundmesh.read.onnx import loads
from boundmesh.read.runtime import session
from boundmesh.read.value_boxes import PRECISIONS
from tests.operators import elementwise, layers, moves, places, steps  # noqa: F401 (they fill GENERATORS)
from tests.operators.form import Form, network


@dataclass(frozen=True)
class Judged:
    """`verdict`: agrees, refused (by boundmesh alone), invalid (ONNX Runtime has no finite result)
    or wrong; `words` say why."""

    verdict: str
    words: str = ""


def judge(form: Form, points: int = 3) -> Judged:
    """Random inputs through ONNX Runtime and, with its rounding bounded, through the graph."""
    data = network(form)
    values = np.random.default_rng(0)
    try:
        runtime = session(data)
        inputs = runtime.get_inputs()
        feeds = [{each.name: values.uniform(form.low, form.high, each.shape).astype(np.float32)
                  for each in inputs} for _ in range(points)]  # fmt: skip
        theirs = [runtime.run(None, feed) for feed in feeds]
    except Exception as error:
        # ONNX Runtime's exceptions have no base class of their own.
        theirs, reason = None, str(error)
    try:
        graph = loads(data)
    except BoundmeshError as error:
        return refusal(form, str(error), theirs)
    except Exception as error:
        return Judged("wrong", f"{type(error).__name__}: {error}")
    if theirs is None:
        return Judged("invalid", reason)
    if [port.shape for port in graph.outputs] != [each.shape for each in theirs[0]]:
        return Judged("wrong", f"shapes {[port.shape for port in graph.outputs]} in place of "
                               f"{[each.shape for each in theirs[0]]}")  # fmt: skip
    expected = np.stack([np.concatenate([each.ravel() for each in found]) for found in theirs])
    if not np.isfinite(expected).all():
        return Judged("invalid", "not finite")
    flat = [np.concatenate([feed[port.name].ravel() for port in graph.inputs]) for feed in feeds]
    at = np.stack(flat).astype(np.float64)
    box = output_box(graph, at, PRECISIONS["float32"])
    result = torch.from_numpy(expected.astype(np.float64)).reshape(points, *box.lower.shape[1:])
    exact = torch.from_numpy(own(graph, at, torch.float64)).reshape(result.shape)
    # A box is not a number where rounding reaches beyond a function's domain.
    near = torch.isclose(result, exact, rtol=1e-3, atol=1e-3)
    unbounded = torch.isnan(box.lower) | torch.isnan(box.upper)
    if not agrees(result, box, PRECISIONS["float32"]) or (unbounded & ~near).any():
        return Judged("wrong", f"off by {(result - exact).abs().max().item():.3g}, where rounding "
                               f"is {(box.upper - box.lower).max().item() / 2:.3g}")  # fmt: skip
    return Judged("agrees")


def refusal(form: Form, words: str, theirs: list[list[np.ndarray]] | None) -> Judged:
    """A refusal must be one line that names the operator, and a network that runs well formed."""
    empty = words.endswith("which holds nothing")
    if "\n" in words or (form.op not in words and not empty):
        return Judged("wrong", f"refused without a clear reason: {words}")
    if theirs is None:
        return Judged("invalid", words)
    if "does not fit its operands" in words:
        return Judged("wrong", words)
    return Judged("refused", words)
