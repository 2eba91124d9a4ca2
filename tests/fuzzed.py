"""Random inputs of every kind that a user can give, and what must come of each: an answer, or a
BoundmeshError; on the command line an exit code, and for an error one message.

`KINDS` maps each kind to a function of a random generator and an empty folder. It makes one call
and returns what it was called with, for a report; whatever it raises is a defect.
"""

from __future__ import annotations

import contextlib
import gc
import gzip
import io
import math
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import boundmesh
from boundmesh import Atom, Ball, BoundmeshError, Box, Case, Clause, Layout, Property, Settings
from boundmesh.cli import main
from boundmesh.graph.graph import Graph, Port
from boundmesh.named_options import with_options
from boundmesh.read import vnnlib
from boundmesh.read.onnx import loads
from boundmesh.settings import BRANCHING_NAMES

PORTS = (Port("x", (1, 2)),), (Port("y", (1, 2)),)
SCALARS = (
    "(declare-const X_0 Real)\n(declare-const X_1 Real)\n"
    "(declare-const Y_0 Real)\n(declare-const Y_1 Real)\n"
    "(assert (>= X_0 -1.0))\n(assert (<= X_0 1))\n(assert (>= X_1 0))\n(assert (<= X_1 5e-1))\n"
)
TENSORS = (
    "(vnnlib-version <2.0>)\n(declare-network f\n  (declare-input X real [1,2])\n"
    "  (declare-output Y real [1,2]))\n"
    "(assert (and (>= X[0,0] -1.0) (<= X[0,0] 1.0) (>= X[0,1] 0) (<= X[0,1] 0.5)))\n"
)
TEXTS = (
    SCALARS + "(assert (<= Y_0 Y_1))\n",
    SCALARS + "(assert (or (and (<= Y_0 -3.0)) (and (>= Y_1 4) (<= Y_0 Y_1))))\n",
    TENSORS + "(assert (>= (+ Y[0,0] (* 2.0 X[0,1])) 1.5))\n",
    TENSORS + "(assert (or (not (< Y[0,0] 1)) (== Y[0,1] (- Y[0,0] 0.25))))\n",
)
TOKENS = (
    *"()[]<>;|\"'\\#:,-+*/",
    *("and", "or", "not", "assert", "Real", "<=", ">=", "==", "<", ">", "=>", "ite", "let", "!="),
    *("declare-const", "declare-fun", "declare-input", "declare-output", "declare-hidden"),
    *("declare-network", "vnnlib-version", "equal-to", "isomorphic-to", "set-logic", "check-sat"),
    *("X_0", "X_1", "X_2", "X_-1", "X_00", "Y_0", "Y_9999999999", "X[0,0]", "X[0]", "Y[1,1]"),
    *("X[-1,0]", "X[]", "X[0,0", "Y", "X", "float32", "int8", "bool", "[1,2]", "[]", "[0]"),
    *("[99999999999999999999]", "0", "1", "-1", "1e308", "-1e309", "1e-400", "nan", "inf", "1_0"),
    *("1/3", "(/ 1 3)", "0x10", "1.", ".5", "+2", "1e", "9" * 30, "1e99999999999", "٣", "½"),
    *("\0", "\ufeff", "\n", "\r", "\t", "\u2028", "é", "😀", "true", "false"),
)


def mutated_text(random: Random) -> str:
    """A property of some tokens more, less or other than it should have."""
    parts = re.findall(r"\s+|[()]|[^\s()]+", random.choice(TEXTS))
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        place = random.randrange(len(parts) + 1)
        end = place + random.choice((0, 1, 1, 2, 5))
        others: tuple[list[str], ...] = (
            [random.choice(TOKENS)],
            [],
            parts[place:end] * 2,
            parts[random.randrange(len(parts) + 1) :][:3],
            ["("] * random.randrange(200),
        )
        parts[place:end] = random.choice(others)
        parts = parts or ["x"]
    return "".join(parts)


def mutated_bytes(random: Random, data: bytes) -> bytes:
    """The bytes with some of them changed, doubled, left out or cut off."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        place = random.randrange(len(found) + 1)
        how = random.randrange(5)
        if how == 0:
            found[place : place + 1] = bytes([random.randrange(256)])
        elif how == 1:
            found[place : place + random.randrange(1, 9)] = b""
        elif how == 2:
            found[place:place] = random.randbytes(random.randrange(1, 9))
        elif how == 3:
            found[place:place] = found[place : place + random.randrange(40)]
        elif random.random() < 0.2:
            del found[place:]
    return bytes(found)


def property_call(random: Random, folder: Path) -> object:
    """Read a mutated property and fit it to a network."""
    data = mutated_text(random).encode("utf-8", "replace")
    if random.random() < 0.3:
        data = mutated_bytes(random, data)
    if random.random() < 0.1:
        data = gzip.compress(data, mtime=0)
        data = mutated_bytes(random, data) if random.random() < 0.5 else data
    file = folder / "fuzzed.vnnlib"
    file.write_bytes(data)
    with contextlib.suppress(BoundmeshError):
        prop = vnnlib.fit(vnnlib.read(file), *PORTS)
        if random.random() < 0.05:
            boundmesh.verify(small(), prop, **QUICK)
    return data


def _value(name: str, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(nodes: Sequence[onnx.NodeProto], shape: Sequence[int | str], opset: int = 17) -> bytes:
    """x → y by the nodes, which may read `w`, `b`, `k`, `i` and `two`."""
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.normal(size=(2, 2)).astype(np.float32),
        "b": np.array([0.5, -0.25], np.float32),
        "k": rng.normal(size=(2, 1, 3, 3)).astype(np.float32),
        "i": np.array([1, 2], np.int64),
        "two": np.array(2, np.float32),
    }
    read = {name for node in nodes for name in node.input}
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    kept = [weight for weight in weights if weight.name in read]
    graph = helper.make_graph(nodes, "f", [_value("x", shape)], [_value("y", None)], kept)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@cache
def models() -> tuple[bytes, ...]:
    """Small networks of most kinds of operators."""
    node = helper.make_node
    chains = (
        [node("Gemm", ["x", "w", "b"], ["z"]), node("Relu", ["z"], ["y"])],
        [node("MatMul", ["x", "w"], ["z"]), node("Softmax", ["z"], ["y"], axis=-1)],
        [node("ReduceMean", ["x"], ["m"], axes=[1]), node("Sub", ["x", "m"], ["y"])],
        [node("Reshape", ["x", "i"], ["z"]), node("Transpose", ["z"], ["y"], perm=[1, 0])],
        [node("Clip", ["x", "two"], ["z"]), node("Sigmoid", ["z"], ["y"])],
        [node("Concat", ["x", "x"], ["z"], axis=1), node("Split", ["z"], ["y", "q"], axis=1)],
        [node("Gather", ["x", "i"], ["y"], axis=0)],
        [node("Tile", ["x", "i"], ["y"]), node("Shape", ["x"], ["s"])],
        [node("Expand", ["two", "i"], ["z"]), node("Mul", ["x", "z"], ["y"])],
        [node("ConstantOfShape", ["i"], ["z"]), node("Add", ["x", "z"], ["y"])],
        [node("Slice", ["x", "i", "i"], ["y"])],
        [node("Pow", ["x", "two"], ["z"]), node("Sqrt", ["z"], ["y"])],
        [node("Squeeze", ["x"], ["z"]), node("Max", ["z", "two"], ["y"])],
    )
    images = (
        [node("Conv", ["x", "k"], ["z"], pads=[1, 1, 1, 1]), node("Relu", ["z"], ["y"])],
        [node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
        [node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], auto_pad="SAME_UPPER")],
        [node("Pad", ["x"], ["z"], mode="edge"), node("Flatten", ["z"], ["y"])],
        [node("GlobalAveragePool", ["x"], ["z"]), node("LeakyRelu", ["z"], ["y"], alpha=0.1)],
        [node("DepthToSpace", ["x"], ["y"], blocksize=1)],
    )
    return (
        *(model(chain, [1, 2]) for chain in chains),
        *(model(chain, [1, 1, 5, 4]) for chain in images),
        model(chains[0], ["batch", 2], 13),
        model(chains[2], [], 11),
    )


ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "axis": (0, -1, 1, 5, -9, 2**40),
    "axes": ([0], [-1], [7], [0, 0], []),
    "perm": ([0, 0], [1], [1, 0], [5, 4]),
    "pads": ([0, 0, 0, 0], [-1, 0, 0, 9], [1], [2**40] * 4, [2**62] * 4),
    "strides": ([0, 0], [1, 1], [-1, 2], [2**33, 1], [3]),
    "dilations": ([0, 0], [2, 2], [-1, -1], [2**33, 1]),
    "kernel_shape": ([0, 0], [1, 1], [9, 9], [-1, 2], [2**33, 2], [1]),
    "group": (0, 2, -1, 3, 2**40),
    "alpha": (0.0, -1.0, math.nan, math.inf, 1e38),
    "beta": (0.0, math.nan, -3.0),
    "epsilon": (0.0, -1.0, math.nan),
    "keepdims": (0, 1, 7),
    "blocksize": (0, 1, -1, 2**20),
    "mode": ("constant", "reflect", "nonsense", "linear"),
    "auto_pad": ("SAME_UPPER", "SAME_LOWER", "VALID", "ANY"),
    "ceil_mode": (0, 1, 3),
    "transA": (0, 1, 9),
    "transB": (0, 1, 9),
    "to": (1, 7, 99, 0),
    "value": (1.5, [1], "text"),
}
OPERATORS = (
    *("Relu", "Add", "Mul", "Div", "Sub", "MatMul", "Gemm", "Conv", "ConvTranspose", "MaxPool"),
    *("AveragePool", "BatchNormalization", "LayerNormalization", "Reshape", "Flatten", "Squeeze"),
    *("Unsqueeze", "Transpose", "Slice", "Gather", "Concat", "Split", "Expand", "Tile", "Pad"),
    *("ReduceSum", "ReduceMax", "ReduceProd", "Softmax", "Exp", "Log", "Sqrt", "Pow", "Tanh"),
    *("Sin", "Floor", "Sign", "Abs", "Min", "Max", "Clip", "Where", "Resize", "Cast", "Identity"),
    *("Shape", "Range", "ConstantOfShape", "Constant", "TopK", "If", "Loop", "LSTM", "Einsum"),
    *("ScatterND", "CumSum", "QuantizeLinear", "Dropout", "NoSuchOperator", "", "Upsample", "Gelu"),
)


def mutated_model(random: Random) -> bytes:
    """A network whose nodes, attributes, shapes, types or version are not what they should be."""
    proto = onnx.load_model_from_string(random.choice(models()))
    graph = proto.graph
    for _ in range(random.choice((1, 1, 2, 3))):
        node = random.choice(graph.node)
        names = ["x", "y", "z", "", "i", "w", "two", "nowhere"]
        how = random.randrange(10)
        if how <= 2:
            name = random.choice(list(ATTRIBUTES))
            kept = [each for each in node.attribute if each.name != name]
            del node.attribute[:]
            value = random.choice(ATTRIBUTES[name])
            if value != []:
                kept.append(helper.make_attribute(name, value))
            node.attribute.extend(kept)
        elif how == 3:
            node.op_type = random.choice(OPERATORS)
        elif how == 4:
            node.input[:] = random.choices(names, k=random.randrange(5))
        elif how == 5:
            node.output[:] = random.choices(names, k=random.randrange(3))
        elif how == 6 and graph.initializer:
            weight = random.choice(graph.initializer)
            array = random.choice(ARRAYS)
            weight.CopyFrom(numpy_helper.from_array(array, weight.name))
            if random.random() < 0.3:
                weight.dims[:] = random.choice(([2], [-1], [2**40], [0, 3], []))
        elif how == 7:
            shape = random.choice(([], [0], [1, 2], ["n", 2], [2, "n"], [-1, 2], [2**40, 2**40]))
            kind = random.choice((0, 1, 6, 7, 8, 9, 10, 11, 16))
            value = helper.make_tensor_value_info("x", kind, shape)
            for old in random.choice((graph.input, graph.output))[:1]:
                old.CopyFrom(value)
        elif how == 8:
            proto.opset_import[0].version = random.choice((0, 1, 6, 7, 9, 11, 13, 18, 23, 999, -1))
        else:
            part = random.choice((graph.node, graph.input, graph.output, graph.initializer))
            if len(part):
                del part[random.randrange(len(part))]
            if not graph.node:
                break
    return bytes(proto.SerializeToString())


ARRAYS = (
    np.array([-1], np.int64),
    np.array([0, 0], np.int64),
    np.array([2**62, 2], np.int64),
    np.array([1e30, -1e30], np.float32),
    np.array([[np.nan, 1], [0, 1]], np.float32),
    np.array(np.inf, np.float32),
    np.array([True, False]),
    np.zeros((0, 2), np.float32),
    np.zeros((2, 2), np.float64),
    np.zeros((2, 1, 1, 1, 1), np.float16),
    np.array(["a", "b"], dtype=object),
)


def network_call(random: Random, folder: Path) -> object:
    """Read a mutated network; bound it over a box where it can be read."""
    data = mutated_model(random)
    if random.random() < 0.4:
        data = mutated_bytes(random, random.choice((data, random.choice(models()))))
    with contextlib.suppress(BoundmeshError):
        graph = loads(data)
        if random.random() < 0.3 and graph[graph.input].size < 1000:
            size = graph[graph.input].size
            box = Box(np.zeros(size), np.full(size, 0.5))
            boundmesh.bounds(graph, box, method=random.choice(METHODS), iterations=1)
            outputs = graph[graph.output].size
            atom = Atom((), ((random.randrange(outputs), 1.0),), random.uniform(-1, 1))
            prop = Property((Case(box, (Clause((atom,)),)),), size, outputs)
            branching = random.choice(BRANCHING_NAMES)
            boundmesh.verify(graph, prop, branching=branching, **QUICK)
    return data


QUICK: dict[str, Any] = {"timeout": 0.5, "restarts": 1, "steps": 2, "iterations": 2}
METHODS = ("ibp", "crown-ibp", "crown", "alpha-crown")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 10**9, 10**30, 1.5, -0.5, 0.0, math.nan, math.inf, -math.inf),
    *("", "0", "text", "cpu", "ibp", "crown", "a\0b", b"bytes", "x" * 300),
    *([], [0.0, 1.0], [[1.0, 2.0]], (0, 1), (0.5, 1.5, 2.5), [[1], [1, 2]], ["a"], {}, {"a": 1}),
    *(set(), object(), int, len, range(2), 1j, Path("nowhere"), Path(".")),
    *(np.zeros(2), np.zeros((1, 2)), np.zeros((3, 2)), np.zeros(()), np.zeros(0), np.ones((2, 1))),
    *(np.array([np.nan, 0]), np.array(["a", "b"]), np.zeros((1, 2), complex), np.float32(1)),
    *(np.int64(2), torch.zeros(2), torch.ones(1, 2), torch.zeros(1, 2, requires_grad=True)),
    *(torch.tensor([math.nan, 1.0]), torch.zeros(2, dtype=torch.int8), torch.zeros(5), Settings()),
    *(Layout(), torch.nn.Linear(2, 2), Box(np.zeros(2), np.ones(2)), Ball(np.zeros(2), 1.0, 2.0)),
    *(Property((), 2, 2), Atom((), (), 0.0), Clause(())),
)  # fmt: skip
OPTIONS = (
    *("timeout", "device", "dtype", "seed", "threads", "restarts", "steps", "iterations", "tries"),
    *("learning_rate", "decay", "tile_elements", "branching", "batch", "ascent_steps", "levels"),
    *("alpha_rate", "beta_rate", "refinements", "schedule", "offload", "speed", "attack", "bounds"),
    *("branch", "layout", "mesh", "settings", "progress"),
)


@cache
def small() -> Graph:
    """x `[1, 2]` → y `[1, 2]`, a layer and a ReLU."""
    return loads(models()[0])


def claim() -> Property:
    """Something to decide of `small()`, within a step."""
    atom = Atom((), ((0, 1.0), (1, -1.0)), -9.0)
    return Property((Case(Box(np.zeros((1, 2)), np.ones((1, 2))), (Clause((atom,)),)),), 2, 2)


def python_call(random: Random, folder: Path) -> object:
    """One call of the Python API, of whose arguments some are of a wrong kind."""

    def one_of(*right: Any) -> Any:
        return random.choice(VALUES) if random.random() < 0.3 else random.choice(right)

    options = {
        name: one_of(*VALUES) for name in random.sample(OPTIONS, random.choice((0, 0, 1, 1, 2)))
    }
    if options.get("mesh") is not None or options.get("layout") is not None:
        options.pop("layout", None)
    options = {"timeout": 1.0, "restarts": 1, "steps": 2, "iterations": 1, **options}
    boxes = Box(np.zeros((1, 2)), np.ones((1, 2))), Ball(np.zeros(2), 0.5, 2.0)
    if random.random() < 0.3:
        return objects_call(random)
    name = random.choice(("verify", "bounds", "load", "from_torch", "Settings", "with_options"))
    arguments: tuple[Any, ...] = ()
    if name == "verify":
        arguments = one_of(small()), one_of(claim())
    elif name == "bounds":
        arguments = one_of(small()), one_of(*boxes)
        rows = one_of(None, [[1, -1]], np.eye(2), torch.eye(2))
        options = {**options, "method": one_of(*METHODS), "rows": rows, "lines": one_of(False)}
    elif name == "load":
        arguments, options = (one_of("nowhere.onnx"),), {}
    elif name == "from_torch":
        wrong = [value for value in VALUES if not isinstance(value, torch.nn.Module)]
        module = random.choice(wrong)
        arguments, options = (module, one_of(torch.zeros(1, 2))), {}
    elif name == "Settings":
        options = {key: options[key] for key in ("timeout", *options) if key in SETTINGS}
    else:
        arguments = (one_of(Settings()),)
        options.pop("progress", None)
        options.pop("settings", None)
    home = {"Settings": Settings, "with_options": with_options}
    function = home.get(name) or getattr(boundmesh, name)
    with contextlib.suppress(BoundmeshError):
        function(*arguments, **options)
    return name, arguments, options


def objects_call(random: Random) -> object:
    """Make a region or a part of a property of anything."""

    def any_of(*right: Any) -> Any:
        return random.choice((*VALUES, *right * 9))

    box = Box([0, 0], [1, 1])
    atom = Atom((), ((0, 1),), 0)
    pairs = ((0, 1),), ((1, -1),), ((any_of(0), any_of(1)),)
    make, arguments = random.choice(
        (
            (Box, (any_of([0, 0]), any_of([1, 1]))),
            (Box.around, (any_of([0, 0]), any_of(0.5), any_of(None, (0, 1), (any_of(0), 1)))),
            (Ball, (any_of([0, 0]), any_of(0.5), any_of(1, 2, math.inf))),
            (Atom, (any_of(*pairs), any_of(*pairs), any_of(0.5))),
            (Clause, (any_of((atom,), (any_of(),)),)),
            (Case, (any_of(box), any_of((Clause((atom,)),)))),
            (Property, (any_of((Case(box, ()),)), any_of(2), any_of(2))),
            (Property.largest, (any_of(box), any_of(0), any_of(2))),
        )
    )
    with contextlib.suppress(BoundmeshError):
        make(*arguments)
    return make, arguments


SETTINGS = ("timeout", "device", "dtype", "seed", "threads", "attack", "bounds", "branch", "layout")
WORDS = (
    *("verify", "bounds", "bench", "supports", "verify", "bounds", "--help", "--version", "--name"),
    *("--network", "--timeout", "--method", "--branching", "--iterations", "--tile-elements"),
    *("--device", "--mesh", "--schedule", "--offload", "--dtype", "--seed", "--threads", "--json"),
    *("--rounding", "--result-file", "--exit-code", "--quiet", "-q", "-h", "--input", "--eps"),
    *("--clip", "--norm", "--case", "--select", "--every", "--limit", "--out", "--json-dir"),
    *("--plot", "--compare", "--", "-", "--onnx-operators", "--vnnlib-versions", "--nonsense"),
)
ANSWERS = (
    *("0", "1", "2", "-1", "0.5", "1e-3", "1e400", "nan", "inf", "-inf", "", " ", "text", "auto"),
    *(
        "ibp",
        "crown",
        "alpha-crown",
        "babsr",
        "input",
        "gather",
        "weights",
        "none",
        "cpu",
        "cuda:99",
    ),
    *("float64", "shards=1", "shards=0", "domains=x", "shards=9999999", "shards=" + "9" * 30),
    *(
        "0,1",
        "1,0",
        "nan,nan",
        "1,2,3",
        "a\0b",
        "x" * 300,
        "é😀",
        "[",
        "(?",
        "99999999999999999999",
    ),
)
FILES = (
    *(
        "net.onnx",
        "net.onnx",
        "net.onnx",
        "spec.vnnlib",
        "spec.vnnlib",
        "spec.vnnlib",
        "net.onnx.gz",
    ),
    *("broken.onnx", "broken.vnnlib", "point.npy", "text.npy", "list.csv", "results.csv", "folder"),
    *(
        "absent.onnx",
        "absent/out.json",
        "out.json",
        "f=net.onnx",
        "g=net.onnx",
        "plot.png",
        "empty",
    ),
)


def prepare(folder: Path) -> None:
    """The files that command lines name."""
    data = models()[0]
    (folder / "net.onnx").write_bytes(data)
    (folder / "net.onnx.gz").write_bytes(gzip.compress(data))
    (folder / "spec.vnnlib").write_text(TEXTS[2])
    (folder / "broken.onnx").write_bytes(data[:50])
    (folder / "broken.vnnlib").write_text(TEXTS[0][:100])
    np.save(folder / "point.npy", np.zeros((1, 2)))
    np.save(folder / "text.npy", np.array(["a"]))
    (folder / "list.csv").write_text("net.onnx,spec.vnnlib,1\nabsent.onnx,spec.vnnlib,1\n")
    (folder / "results.csv").write_text("onnx,vnnlib\n\0,1\n")
    (folder / "folder").mkdir(exist_ok=True)
    (folder / "empty").write_bytes(b"")


def line(random: Random, folder: Path) -> list[str]:
    """The words of a command line: of a right one, with some changed, or any."""

    def file() -> str:
        name = random.choice(FILES)
        start, sign, rest = name.rpartition("=")
        return f"{start}{sign}{folder / rest}"

    right = random.choice(
        (
            ["verify", str(folder / "spec.vnnlib"), "--network", str(folder / "net.onnx")],
            ["bounds", str(folder / "spec.vnnlib"), "--network", str(folder / "net.onnx")],
            ["bounds", "--input", str(folder / "point.npy"), "--eps", "0.1", "--network",
             str(folder / "net.onnx")],
            ["bench", str(folder / "list.csv"), "--every", "1"],
            ["supports", "--onnx-operators"],
            [],
        )
    )  # fmt: skip
    words = [*right]
    for _ in range(random.choice((0, 1, 1, 2, 3, 6))):
        place = random.randrange(len(words) + 1)
        new = random.choice((random.choice(WORDS), random.choice(ANSWERS), file(), file()))
        pair = [random.choice(WORDS), random.choice((random.choice(ANSWERS), file()))]
        words[place : place + random.randrange(2)] = random.choice(([new], [], pair, pair))
    return words


class Unsound(Exception):
    """A command line did not end as it should."""


def command_call(random: Random, folder: Path) -> object:
    """Run a command line in this process, and look at how it ends."""
    if random.random() < 0.1 or not (folder / "net.onnx").exists():
        prepare(folder)
    words = line(random, folder)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.object(sys, "argv", ["boundmesh", *words]),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 0
    gc.unfreeze()
    said = err.getvalue()
    if code not in (0, 1, 2, 3) or "Traceback" in said or "defect" in said:
        raise Unsound(f"exit code {code}: {said[-3000:]}")
    if code == 2 and not said and words:
        raise Unsound("exit code 2 without a message")
    return words


KINDS: dict[str, Callable[[Random, Path], object]] = {
    "property": property_call,
    "network": network_call,
    "command": command_call,
    "python": python_call,
}
