"""ONNX pooling: averages are convolutions with a constant, maxima an operator of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from boundmesh.graph.constant import quotient
from boundmesh.operators.node import Node, Shape
from boundmesh.read.translate.arithmetic import scale
from boundmesh.read.translate.convolution import Window, spatial, window
from boundmesh.read.translate.step import Step, Value, translates


def same_padding(kernel: int, stride: int, length: int, upper: bool) -> tuple[int, int]:
    """Return the padding of SAME_UPPER or SAME_LOWER on one axis.

    Dilations are ignored, as in ONNX Runtime: a dilated window gives a shorter result.
    """
    needed = (-(-length // stride) - 1) * stride + kernel - length
    before = needed // 2 if upper else -(-needed // 2)
    return before, needed - before


def frame_of(step: Step, lengths: Shape) -> Window:
    """Return the window of a pool over axes of `lengths`, with explicit padding.

    Raises UnsupportedError where the padding is negative, or a window is longer than its axis with
    padding.
    """
    kernel = spatial(step, "kernel_shape", 1, len(lengths))
    mode = step.attribute("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        frame = window(
            replace(step, attributes={**step.attributes, "auto_pad": "VALID"}), lengths, kernel
        )
        axes = zip(kernel, frame.stride, lengths, strict=True)
        padding = tuple(same_padding(*axis, mode == "SAME_UPPER") for axis in axes)
        if min(map(min, padding)) < 0:
            raise step.refuse(f"its strides {list(frame.stride)} skip more than {mode} can pad")
        frame = replace(frame, padding=padding)
    else:
        frame = window(step, lengths, kernel)
    for reach, length, (before, after) in zip(frame.extent, lengths, frame.padding, strict=True):
        if reach > before + length + after:
            raise step.refuse(
                f"its window reaches over {reach} elements of an axis that has "
                f"{before + length + after} with its padding"
            )
    return frame


def positions(frame: Window, lengths: Shape, ceil: bool) -> Shape:
    """Return how many windows fit along each axis; with `ceil` the last may reach over the end.

    A window must start inside of the input or of the padding before it.
    """
    counts = []
    for axis, length in enumerate(lengths):
        before, after = frame.padding[axis]
        by, room = frame.stride[axis], length + before + after - frame.extent[axis]
        count = (-(-room // by) if ceil else room // by) + 1
        if ceil and (count - 1) * by >= length + before:
            count -= 1
        counts.append(count)
    return tuple(counts)


def reached(step: Step, frame: Window, axis: int, count: int, length: int) -> np.ndarray:
    """Return the places `[count, kernel]` on an axis that each window reads; < 0 is padding before.

    Raises UnsupportedError for a window that reads no element of the axis.
    """
    starts = np.arange(count) * frame.stride[axis] - frame.padding[axis][0]
    places = starts[:, None] + np.arange(frame.kernel[axis]) * frame.dilation[axis]
    if not ((places >= 0) & (places < length)).any(axis=1).all():
        raise step.refuse("one of its windows lies wholly on padding")
    return places


def pooled_window(step: Step, x: Node) -> tuple[Window, Shape]:
    frame = frame_of(step, x.shape[2:])
    return frame, positions(frame, x.shape[2:], bool(step.attribute("ceil_mode", 0)))


@translates("MaxPool")
def max_pool(step: Step) -> Value:
    """Take the largest of each window; padding is never the largest."""
    if not step.single:
        raise step.refuse("its indices are used; only its values are supported")
    x = step.node()
    frame, counts = pooled_window(step, x)
    padding = []
    for axis, (length, count) in enumerate(zip(x.shape[2:], counts, strict=True)):
        places = reached(step, frame, axis, count, length)
        # The last window may end before the padding does, or beyond it.
        padding.append((frame.padding[axis][0], max(0, int(places.max()) + 1 - length)))
    return step.build.add(
        "max_pool", x, kernel=frame.kernel, stride=frame.stride, dilation=frame.dilation,
        padding=tuple(padding),
    )  # fmt: skip


@translates("GlobalMaxPool")
def global_max_pool(step: Step) -> Value:
    x = step.node()
    flat = step.build.reshape(x, (*x.shape[:2], int(np.prod(x.shape[2:]))))
    peak = step.build.add("max", flat, axis=2)
    return step.build.reshape(peak, (*x.shape[:2], *(1,) * len(x.shape[2:])))


@translates("AveragePool")
def average_pool(step: Step) -> Value:
    """Convolve each channel with ones, and divide by the number of elements each window counts."""
    x = step.node()
    frame, counts = pooled_window(step, x)
    padded = bool(step.attribute("count_include_pad", 0))
    divisor = np.ones((), np.int64)
    padding = []
    for axis, (length, count) in enumerate(zip(x.shape[2:], counts, strict=True)):
        before, after = frame.padding[axis]
        places = reached(step, frame, axis, count, length)
        low, high = (-before, length + after) if padded else (0, length)
        divisor = np.multiply.outer(divisor, ((places >= low) & (places < high)).sum(axis=1))
        # Where the count is rounded up, the last window reads zeros beyond the padding.
        padding.append((before, max(after, int(places.max()) + 1 - length)))
    even = divisor.min() == divisor.max()
    channels = x.shape[1]
    share = quotient(1.0, float(divisor.max()) if even else 1.0)
    ones = share.moved(lambda weight: np.full((channels, 1, *frame.kernel), weight))
    total = step.build.add(
        "conv", x, weights=(ones,), stride=frame.stride, dilation=frame.dilation,
        padding=tuple(padding), groups=channels,
    )  # fmt: skip
    return total if even else scale(step.build, total, quotient(1.0, divisor))


@translates("GlobalAveragePool")
def global_average_pool(step: Step) -> Value:
    x = step.node()
    axes = tuple(range(2, len(x.shape)))
    total = step.build.add("sum", x, axes=axes)
    return scale(step.build, total, quotient(1.0, float(np.prod(x.shape[2:]))))
