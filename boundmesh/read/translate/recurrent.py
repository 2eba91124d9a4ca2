"""ONNX recurrent layers, unrolled: each time step is a part of the graph of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.constant import sum_of
from boundmesh.operators.node import Node
from boundmesh.read.translate.activation import DIRECT
from boundmesh.read.translate.arithmetic import minus, plus, shift, times
from boundmesh.read.translate.select import pick
from boundmesh.read.translate.step import Step, Value, translates

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
"""How many blocks of rows the weights of each layer have."""

FUNCTIONS = {
    "RNN": ("Tanh",),
    "GRU": ("Sigmoid", "Tanh"),
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
}

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Whether each direction of a layer reads its sequence backwards."""

Function = Callable[[Builder, Node], Node]


@dataclass(frozen=True)
class Cell:
    """One direction of a layer.

    recurrent   R `[gates·h, h]`, which multiplies the state before
    bias        Rb `[gates·h]`, which is added to that product (None: zero)
    functions   the activation functions, in ONNX's order
    size        h, the number of hidden units
    settings    the ONNX step, for its attributes
    """

    recurrent: Constant
    bias: Constant | None
    functions: Sequence[Function]
    size: int
    settings: Step

    @property
    def build(self) -> Builder:
        return self.settings.build

    def gate(self, gates: Node, place: int) -> Node:
        """Return block `place` of the gates `[batch, gates·h]`."""
        return pick(self.build, gates, 1, range(place * self.size, (place + 1) * self.size))

    def block(self, place: int, count: int = 1) -> tuple[Constant, Constant | None]:
        """Return the rows of R, and of its bias, that belong to `count` gates from `place` on."""
        rows = slice(place * self.size, (place + count) * self.size)
        bias = None if self.bias is None else self.bias.moved(lambda array: array[rows])
        return self.recurrent.moved(lambda array: array[rows]), bias

    def times_state(self, state: Value | None, place: int, count: int) -> Value | None:
        """Return `state·Rᵀ + Rb` for some gates; None stands for zero."""
        weight, bias = self.block(place, count)
        if state is None:
            return bias
        node = self.build.constant(state) if isinstance(state, Constant) else state
        product = self.build.add("linear", node, weights=(weight,))
        return product if bias is None else shift(self.build, product, bias)


def added(build: Builder, x: Node, y: Value | None) -> Node:
    return x if y is None else plus(build, x, y)


State = tuple[Value | None, Value | None]


def rnn(cell: Cell, given: Node, state: State) -> State:
    """Return `h = f(W x + Wb + R h + Rb)`."""
    build = cell.build
    inner = added(build, given, cell.times_state(state[0], 0, 1))
    return cell.functions[0](build, inner), None


def gru(cell: Cell, given: Node, state: State) -> State:
    """Return `h = (1 − z)·ĥ + z·h`, with `ĥ = g(W x + r·(R h + Rb))` or `g(W x + R (r·h) + Rb)`."""
    build, before = cell.build, state[0]
    both = pick(build, given, 1, range(2 * cell.size))
    gates = cell.functions[0](build, added(build, both, cell.times_state(before, 0, 2)))
    update, reset = cell.gate(gates, 0), cell.gate(gates, 1)
    candidate = cell.gate(given, 2)
    if cell.settings.attribute("linear_before_reset", 0):
        inner = cell.times_state(before, 2, 1)
        fresh = candidate if inner is None else plus(build, candidate, times(build, reset, inner))
    else:
        kept = None if before is None else times(build, reset, before)
        fresh = added(build, candidate, cell.times_state(kept, 2, 1))
    new = cell.functions[1](build, fresh)
    if before is None:
        return minus(build, new, times(build, update, new)), None
    # ĥ + z·(h − ĥ) has one product in place of two.
    return plus(build, new, times(build, update, minus(build, before, new))), None


def lstm(cell: Cell, given: Node, state: State) -> State:
    """Return `c = f·c + i·ĉ` and `h = o·tanh(c)`; the blocks are i, o, f and ĉ."""
    build, (before, memory) = cell.build, state
    gates = added(build, given, cell.times_state(before, 0, 4))
    sigmoid, tanh, last = cell.functions
    opened = sigmoid(build, pick(build, gates, 1, range(3 * cell.size)))
    fresh = tanh(build, cell.gate(gates, 3))
    new = times(build, cell.gate(opened, 0), fresh)
    if memory is not None:
        new = plus(build, new, times(build, cell.gate(opened, 2), memory))
    return times(build, cell.gate(opened, 1), last(build, new)), new


CELLS = {"RNN": rnn, "GRU": gru, "LSTM": lstm}


@translates(*CELLS)
def recurrent(step: Step) -> Value | tuple[Value, ...]:
    """Return all states, the last states and, for an LSTM, the last memory."""
    build, x = step.build, step.node(0)
    by_batch = bool(step.attribute("layout", 0))
    if by_batch:
        x = swapped(build, x)
    length, batch, _ = x.shape
    check(step, length)
    turns = DIRECTIONS[step.attribute("direction", "forward")]
    directions = [direction(step, x, place, turned) for place, turned in enumerate(turns)]
    size = directions[0][0][0].shape[1]

    def joined(states: Sequence[Node]) -> Node:
        lifted = [build.reshape(state, (1, batch, size)) for state in states]
        return lifted[0] if len(lifted) == 1 else build.add("concat", *lifted, axis=0)

    columns = [joined([states[place] for states, _ in directions]) for place in range(length)]
    whole = [build.reshape(state, (1, len(directions), batch, size)) for state in columns]
    sequence = whole[0] if length == 1 else build.add("concat", *whole, axis=0)
    ends = [
        states[0] if turned else states[-1]
        for (states, _), turned in zip(directions, turns, strict=True)
    ]
    last, memories = joined(ends), [memory for _, memory in directions]
    if by_batch:
        sequence = build.add("transpose", sequence, perm=(2, 0, 1, 3))
        last = swapped(build, last)
    if step.op != "LSTM":
        return sequence, last
    memory = joined([state for state in memories if state is not None])
    return sequence, last, swapped(build, memory) if by_batch else memory


def swapped(build: Builder, x: Node) -> Node:
    return build.add("transpose", x, perm=(1, 0, 2))


def check(step: Step, length: int) -> None:
    """Raise UnsupportedError for forms that are not unrolled."""
    lengths = step.optional(4, "sequence lengths")
    if lengths is not None and np.any(lengths != length):
        raise step.refuse(f"its sequences end before {length} steps; full ones are supported")
    if step.op == "LSTM" and step.operand(7) is not None and np.any(step.constant(7, "P")):
        raise step.refuse("it has peepholes")
    if step.attribute("input_forget", 0):
        raise step.refuse("it couples input and forget gates")


def direction(step: Step, x: Node, place: int, backwards: bool) -> tuple[list[Node], Node | None]:
    """Return the states of one direction, at the places of their inputs, and the last memory."""
    build, blocks = step.build, GATES[step.op]
    weight, recur = (
        step.known(index, name).moved(lambda array: array[place])
        for index, name in ((1, "W"), (2, "R"))
    )
    size = recur.shape[1]
    given, bias = step.optional_constant(3, "B"), None
    x = build.add("linear", x, weights=(weight,))
    if given is not None:
        first = given.moved(lambda array: array[place, : blocks * size])
        bias = given.moved(lambda array: array[place, blocks * size :])
        inside = step.op == "GRU" and step.attribute("linear_before_reset", 0)
        # Only a GRU that multiplies R h + Rb by its gate needs that bias apart.
        x = shift(build, x, first if inside else sum_of(first, bias))
        bias = bias if inside else None
    cell = Cell(recur, bias, functions(step, place), size, step)
    state: State = (start(step, 5, place), start(step, 6, place) if step.op == "LSTM" else None)
    length, batch, width = x.shape
    states: dict[int, Node] = {}
    for time in reversed(range(length)) if backwards else range(length):
        now = build.reshape(pick(build, x, 0, [time]), (batch, width))
        state = CELLS[step.op](cell, limited(step, now), state)
        assert isinstance(state[0], Node)
        states[time] = state[0]
    memory = state[1]
    assert memory is None or isinstance(memory, Node)
    return [states[time] for time in range(length)], memory


def limited(step: Step, x: Node) -> Node:
    if step.attribute("clip") is not None:
        raise step.refuse("it clips what its activation functions read")
    return x


def start(step: Step, index: int, place: int) -> Value | None:
    """Return the initial state of a direction; None where it is zero."""
    value = step.operand(index)
    if value is None:
        return None
    if isinstance(value, Constant):
        initial = value.moved(
            lambda array: (array.swapaxes(0, 1) if by_batch(step) else array)[place]
        )
        return initial if initial.array.any() or initial.formed.depth else None
    value = swapped(step.build, value) if by_batch(step) else value
    return step.build.reshape(pick(step.build, value, 0, [place]), value.shape[1:])


def by_batch(step: Step) -> bool:
    return bool(step.attribute("layout", 0))


def functions(step: Step, place: int) -> list[Function]:
    """Return the activation functions of a direction."""
    default = FUNCTIONS[step.op]
    named = step.attribute("activations") or default * 2
    texts = [name.decode() if isinstance(name, bytes) else str(name) for name in named]
    chosen = texts[place * len(default) : (place + 1) * len(default)]
    known = {name.lower(): op for name, op in DIRECT.items()}
    for text in chosen:
        if text.lower() not in ("sigmoid", "tanh", "relu", "softsign", "softplus"):
            raise step.refuse(f"its activation function '{text}' is not supported")
    return [_function(known[text.lower()]) for text in chosen]


def _function(op: str) -> Function:
    return lambda build, x: build.add(op, x)
