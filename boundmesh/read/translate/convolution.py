"""ONNX convolutions and the geometry of windows that they share with pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from boundmesh.graph.build import Constant
from boundmesh.operators.node import Shape
from boundmesh.read.translate.step import Step, Value, translates

# Larger strides and dilations do not fit the integers of torch's convolutions.
MOST = 2**31
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Window:
    """A window that moves over the spatial axes; each field has one entry per axis.

    kernel    the window's length
    stride    the step from one window to the next
    dilation  the distance between neighbouring elements of a window
    padding   the zeros before and after the input
    """

    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: Pairs

    @property
    def extent(self) -> Shape:
        """`dilation·(kernel − 1) + 1`."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


def spatial(step: Step, name: str, default: int, count: int) -> Shape:
    """Return the attribute, a number for each of `count` axes that is not below its default."""
    lengths = tuple(step.attribute(name) or (default,) * count)
    if len(lengths) != count or not all(default <= length < MOST for length in lengths):
        raise step.refuse(
            f"its {name} are {list(lengths)}; expected {count} numbers ≥ {default}, "
            "one for each axis"
        )
    return lengths


def pairs(step: Step, count: int) -> Pairs:
    """Return the attribute `pads`, all befores and then all afters, as (before, after) pairs."""
    pads = step.attribute("pads") or (0,) * (2 * count)
    if min(pads) < 0:
        raise step.refuse(f"its padding {list(pads)} is negative")
    return tuple(zip(pads[:count], pads[count:], strict=True))


def halves(total: int, upper: bool) -> tuple[int, int]:
    """Halve a padding; an odd element goes to the end (SAME_UPPER) or to the front."""
    total = max(total, 0)
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


def window(step: Step, lengths: Shape, kernel: Shape) -> Window:
    """Return the window of a convolution or pooling over axes of `lengths`, with all padding."""
    count = len(lengths)
    stride, dilation = spatial(step, "strides", 1, count), spatial(step, "dilations", 1, count)
    explicit = Window(kernel, stride, dilation, ((0, 0),) * count)
    mode = step.attribute("auto_pad", "NOTSET")
    if mode == "VALID":
        return explicit
    padding = pairs(step, count)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        # The result is as long as the input divided by the stride, rounded up.
        totals = [
            (-(-length // by) - 1) * by + extent - length
            for length, by, extent in zip(lengths, stride, explicit.extent, strict=True)
        ]
        # ONNX Runtime does not start at the first element then.
        if min(totals) < -2:
            raise step.refuse(f"its strides {list(stride)} skip more than {mode} can pad")
        padding = tuple(halves(total, mode == "SAME_UPPER") for total in totals)
    return Window(kernel, stride, dilation, padding)


def weights_of(step: Step) -> tuple[Constant, ...]:
    """Return the weight and the bias, which are constants."""
    step.known(1, "weight")
    step.optional_constant(2, "bias")
    return tuple(value for value in step.operands[1:3] if isinstance(value, Constant))


@translates("Conv")
def convolution(step: Step) -> Value:
    x, weights = step.node(), weights_of(step)
    frame = window(step, x.shape[2:], weights[0].shape[2:])
    return step.build.add(
        "conv", x, weights=weights, stride=frame.stride, dilation=frame.dilation,
        padding=frame.padding, groups=step.attribute("group", 1),
    )  # fmt: skip


@translates("ConvTranspose")
def transposed_convolution(step: Step) -> Value:
    x, weights = step.node(), weights_of(step)
    lengths, kernel = x.shape[2:], weights[0].shape[2:]
    count = len(lengths)
    attributes: dict[str, Any] = {
        "stride": spatial(step, "strides", 1, count),
        "dilation": spatial(step, "dilations", 1, count),
        "output_padding": spatial(step, "output_padding", 0, count),
        "groups": step.attribute("group", 1),
    }
    padding = transposed_padding(step, lengths, kernel, attributes)
    return step.build.add("conv_transpose", x, weights=weights, padding=padding, **attributes)


def transposed_padding(
    step: Step, lengths: Shape, kernel: Shape, attributes: dict[str, Any]
) -> Pairs:
    """Return what is cropped: `pads`, or as much as gives the result its `output_shape`."""
    mode, wanted = step.attribute("auto_pad", "NOTSET"), step.attribute("output_shape")
    stride = attributes["stride"]
    if wanted is None and mode in ("NOTSET", "VALID"):
        return pairs(step, len(lengths)) if mode == "NOTSET" else ((0, 0),) * len(lengths)
    if wanted is None:
        wanted = [length * by for length, by in zip(lengths, stride, strict=True)]
    crops = []
    for axis, target in enumerate(wanted[-len(lengths) :]):
        reach = attributes["dilation"][axis] * (kernel[axis] - 1) + 1
        full = stride[axis] * (lengths[axis] - 1) + reach + attributes["output_padding"][axis]
        if full < target:
            raise step.refuse(f"its output_shape {list(wanted)} is longer than it can reach")
        crops.append(halves(full - target, mode == "SAME_UPPER"))
    return tuple(crops)
