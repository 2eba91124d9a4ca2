"""Collects the declarations of a VNN-LIB file, and looks up the names that they define."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from boundmesh.errors import PropertyError
from boundmesh.graph.whole import INTEGERS
from boundmesh.property import Variable

SCALAR = re.compile(r"([XY])((?:_(?:0|[1-9]\d*))+)", re.ASCII)
NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
ROLES = ("input", "hidden", "output")
TENSOR = re.compile(r"([A-Za-z]\w*)\s*(\[([\d\s,]*)\])?", re.ASCII)
ELEMENT_TYPES = ("Real", "float16", "float32", "float64", "bfloat16", *INTEGERS.values())


@dataclass(frozen=True)
class DeclaredNetwork:
    """A network that a query declares.

    name      its name in the query
    relation  `equal-to`, `isomorphic-to` or empty
    other     the name of the network that it is related to, declared before it, or empty
    """

    name: str
    relation: str = ""
    other: str = ""


class Declarations:
    """Collects declarations; a variable's number is i for flat input i and −1 − j for output j."""

    def __init__(self) -> None:
        self.version = ""
        # True if a network is declared in a file without the header of its version.
        self.headless = False
        self.networks: dict[str, DeclaredNetwork] = {}
        self.scalars: dict[str, int] = {}
        self.indices: dict[str, list[tuple[int, ...]]] = {"X": [], "Y": []}
        self.tensors: dict[str, Variable] = {}

    def declare_scalar(self, parts: list[Any]) -> None:
        """Read `(declare-const X_0 Real)`, version 1.0."""
        match = SCALAR.fullmatch(parts[0]) if parts and isinstance(parts[0], str) else None
        if match is None or parts[1:] != ["Real"]:
            met = " ".join(map(shown, parts))
            raise PropertyError(f"expected (declare-const X_0 Real) or Y_0, met {met}")
        if self.version == "2":
            raise PropertyError("'declare-const' is VNN-LIB 1.0; declare it in declare-network")
        if match[0] in self.scalars:
            raise PropertyError(f"{match[0]} is declared twice")
        index = tuple(map(int, match[2][1:].split("_")))
        known = self.indices[match[1]]
        # X_3 is number 3 wherever it is declared; X_0_3 takes its number from the order.
        number = index[0] if len(index) == 1 else len(known)
        known.append(index)
        self.version = "1"
        self.scalars[match[0]] = number if match[1] == "X" else -1 - number

    def declare_function(self, parts: list[object]) -> None:
        """Read `(declare-fun X_0 () Real)`, SMT-LIB's older word for a constant."""
        if len(parts) != 3 or parts[1] != ():
            met = " ".join(map(shown, parts))
            raise PropertyError(f"expected (declare-fun X_0 () Real) or Y_0, met {met}")
        self.declare_scalar([parts[0], parts[2]])

    def declare_version(self, parts: list[object]) -> None:
        """Read `(vnnlib-version <2.0>)`; a later minor version breaks nothing (VNN-LIB 2.0)."""
        if len(parts) != 1 or not re.fullmatch(r"<2\.\d+>", str(parts[0])):
            met = " ".join(map(shown, parts))
            raise PropertyError(f"expected version <2.0>, or no header and VNN-LIB 1.0, met {met}")
        if self.version:
            raise PropertyError("the version must come first, and once")
        self.version = "2"

    def tensor(self, role: str, parts: list[object]) -> Variable:
        """Read `(declare-input X Real [1,10] "name")`, version 2.0; the ONNX name may be absent.

        It must be given where the role is `hidden`.
        """
        words = [part for part in parts if isinstance(part, str)]
        name, kind = (TENSOR.fullmatch(word) for word in [*words, "", ""][:2])
        quoted = all(word[0] == '"' for word in words[2:])
        if not name or name[2] or not kind or not kind[2] or not quoted or len(parts) > 3:
            met = " ".join(map(shown, parts))
            raise PropertyError(f'expected (declare-{role} NAME TYPE [SHAPE] "ONNX"), met {met}')
        element_type = "Real" if kind[1] == "real" else kind[1]
        if element_type not in ELEMENT_TYPES:
            known = ", ".join(ELEMENT_TYPES)
            raise PropertyError(f"element type '{kind[1]}' is not supported; supported: {known}")
        if name[1] in self.tensors:
            raise PropertyError(f"{name[1]} is declared twice")
        shape = integers(kind[3])
        if 0 in shape:
            raise PropertyError(f"{name[1]} has no elements")
        onnx_name = words[2].strip('"') if words[2:] else None
        if role == "hidden" and not onnx_name:
            raise PropertyError(f"hidden {name[1]} needs the ONNX name of its value")
        tensors = self.tensors.values()
        offset = sum(t.size for t in tensors if (t.role == "input") == (role == "input"))
        variable = Variable(name[1], role, shape, element_type, onnx_name, offset)
        self.tensors[variable.name] = variable
        return variable

    def declare_network(self, parts: list[object]) -> None:
        """Read `(declare-network f [(equal-to g)] (declare-input …) … (declare-output …) …)`."""
        name, *inner = parts or [None]
        related = [part for part in inner[:1] if isinstance(part, DeclaredNetwork)]
        tensors = [part for part in inner[len(related) :] if isinstance(part, Variable)]
        if not isinstance(name, str) or len(related) + len(tensors) < len(inner):
            raise PropertyError("expected (declare-network NAME inputs outputs)")
        if self.version == "1":
            raise PropertyError("'declare-network' is VNN-LIB 2.0, 'declare-const' above is 1.0")
        if not NAME.fullmatch(name):
            raise PropertyError(f"'{name}' is no name of a network; expected letters and digits")
        if name in self.networks or name in self.tensors:
            raise PropertyError(f"{name} is declared twice")
        roles = [part.role for part in tensors]
        if roles != sorted(roles, key=ROLES.index) or not {"input", "output"} <= set(roles):
            raise PropertyError(f"network {name} must declare inputs, then outputs")
        for part in tensors:
            self.tensors[part.name] = replace(part, network=name)
        self.headless = self.headless or not self.version
        self.networks[name] = replace(related[0], name=name) if related else DeclaredNetwork(name)
        self.version = "2"

    def relate(self, relation: str, parts: list[object]) -> DeclaredNetwork:
        """Read `(equal-to f)` or `(isomorphic-to f)`, version 2.0."""
        if len(parts) != 1 or not isinstance(parts[0], str):
            raise PropertyError(f"expected ({relation} NAME)")
        if parts[0] not in self.networks:
            raise PropertyError(f"'{parts[0]}' is no network that is declared before")
        return DeclaredNetwork("", relation, parts[0])

    @property
    def element_types(self) -> set[str]:
        """The element types of all declared tensors."""
        return {tensor.element_type for tensor in self.tensors.values()}

    def element_type(self, number: int) -> str:
        """Return the element type of the variable with this number."""
        flat, is_input = (number, True) if number >= 0 else (-1 - number, False)
        for tensor in self.tensors.values():
            if (tensor.role == "input") == is_input and 0 <= flat - tensor.offset < tensor.size:
                return tensor.element_type
        return ""

    def number(self, token: str) -> int:
        """Return the number of the variable `X_3` or `X[0,3]`, or of a scalar `Y` or `Y[]`."""
        scalar = self.scalars.get(token)
        if scalar is not None:
            return scalar
        match = TENSOR.fullmatch(token)
        tensor = self.tensors.get(match[1]) if match else None
        if match is None or tensor is None:
            raise PropertyError(f"'{token}' is neither a declared variable nor a finite number")
        index = integers(match[3] or "")
        inside = all(place < length for place, length in zip(index, tensor.shape, strict=False))
        if len(index) != len(tensor.shape) or not inside:
            raise PropertyError(f"'{token}' is no element of {tensor.name}{list(tensor.shape)}")
        flat = 0
        for place, length in zip(index, tensor.shape, strict=True):
            flat = flat * length + place
        flat += tensor.offset
        return flat if tensor.role == "input" else -1 - flat

    def variables(self) -> tuple[Variable, ...]:
        """Return every declared tensor, in order; scalars of version 1.0 make one X and one Y."""
        if self.networks:
            return tuple(self.tensors.values())
        if not self.scalars:
            raise PropertyError("no variables are declared; expected a VNN-LIB property")
        return tuple(
            Variable(letter, role, shape_of(letter, self.indices[letter]), "")
            for letter, role in (("X", "input"), ("Y", "output"))
        )


def shape_of(letter: str, indices: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of the tensor that has these indices.

    Raises PropertyError unless every index of the shape appears. Indices of several dims must
    appear in row-major order.
    """
    dims = max((len(index) for index in indices), default=1)
    if any(len(index) != dims for index in indices):
        raise PropertyError(f"some {letter}_… have {dims} indices, and some have fewer")
    shape = tuple(max(lengths) + 1 for lengths in zip(*indices, strict=True)) or (1,)
    declared = set(indices)
    if len(declared) < math.prod(shape):
        missing = next(index for index in row_major(shape) if index not in declared)
        raise PropertyError(f"{'_'.join(map(str, (letter, *missing)))} is not declared")
    if dims > 1 and list(indices) != sorted(indices):
        raise PropertyError(f"the {letter}_… of {dims} indices are not declared in row-major order")
    return shape


def row_major(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield every index of the shape, without holding a range of any length."""
    for place in range(math.prod(shape)):
        index: list[int] = []
        for length in reversed(shape):
            place, rest = divmod(place, length)
            index.insert(0, rest)
        yield tuple(index)


def integers(text: str) -> tuple[int, ...]:
    """Read the integers of a shape or index, `1, 3`; none for an empty text."""
    try:
        return tuple(int(number) for number in text.split(",")) if text.strip() else ()
    except ValueError:
        raise PropertyError(f"[{text}] is not a list of integers with commas between") from None


def shown(part: object) -> str:
    """Return a part of a form as text for a message."""
    if isinstance(part, str):
        return f"'{part}'"
    if part is None or part == ():
        return "()"
    return f"the declaration of {part.name}" if isinstance(part, Variable) else "(…)"
