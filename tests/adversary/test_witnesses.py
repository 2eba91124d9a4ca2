"""Properties with a known counterexample that rounding has hidden: never `unsat`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import boundmesh
from tests.adversary import exact, statement
from tests.adversary.judge import Runtime
from tests.adversary.kinds import KINDS, Witnessed
from tests.adversary.network import Network

CASES = Path(__file__).parents[3] / "shared" / "cases" / "rounding"
# File, network, witness, and whether it is one in real arithmetic, too.
SHARED = {
    "r1_clip1e4": ("r1_clip1e4", (0.59999996, 0.59999996), True),
    "r1_clip1e6": ("r1_clip1e6", (5.0, 5.0), True),
    "r2_div": ("r2_div", (3000000.0,), True),
    "r3_fool": ("r3_fool", (0.45, 0.3125), False),
    "r5_dec": ("r5_dec", (0.375,), True),
    "r8_multi": ("r8_multi", (1000002.0, 1000002.0), True),
    "r8_swapped": ("r8_multi", (1000002.0, 1000002.0), True),
    "r9_coef": ("r9_coef", (0.5,), True),
}
SEEDS = range(2)
each_kind = pytest.mark.parametrize(
    ("kind", "seed"), [(kind, seed) for kind in KINDS for seed in SEEDS]
)


def made(kind: str, seed: int) -> Witnessed:
    return KINDS[kind](np.random.default_rng([seed, *kind.encode()]))


def word(model: Path, text: Path, mode: str, **options: object) -> str:
    chosen = {"timeout": 0.7, "threads": 1, "device": "cpu", "restarts": 0} | options
    return boundmesh.verify(model, text, **chosen, rounding=mode).verdict.word


def satisfied(net: Network, text: str, point: tuple[Fraction, ...], semantics: str) -> bool:
    assertions = statement.parse(text)
    if semantics == "real":
        y, doubt = exact.outputs(net, np.array([point], dtype=object))
        return statement.satisfied(assertions, list(point), list(y[0]), doubt)
    row = np.array([[float(x) for x in point]], dtype=np.float32)
    found = [Fraction(float(each)) for each in Runtime(net)(row)[0]]
    return statement.satisfied(assertions, [Fraction(float(x)) for x in row[0]], found)


@each_kind
def test_the_witness_satisfies_every_assertion(kind: str, seed: int) -> None:
    each = made(kind, seed)
    assert satisfied(each.net, each.text, each.point, each.semantics)


@each_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_property_with_a_witness_is_not_proved(
    kind: str, seed: int, dtype: str, tmp_path: Path
) -> None:
    each = made(kind, seed)
    model, text = tmp_path / "n.onnx", tmp_path / "p.vnnlib"
    model.write_bytes(each.net.bytes)
    text.write_text(each.text, encoding="utf-8")
    assert word(model, text, each.semantics, dtype=dtype) != "unsat"


@pytest.mark.parametrize("name", SHARED)
def test_a_known_witness_satisfies_every_assertion(name: str) -> None:
    net, text, point, real = known(name)
    assert satisfied(net, text, point, "float32")
    assert satisfied(net, text, point, "real") == real


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["real", "float32", "real+float32"])
def test_a_known_property_with_a_witness_is_not_proved(name: str, dtype: str, mode: str) -> None:
    _, _, _, real = known(name)
    if mode == "real" and not real:
        pytest.skip("the witness is none in real arithmetic")
    model, text = CASES / f"{SHARED[name][0]}.onnx", CASES / f"{name}.vnnlib"
    assert word(model, text, mode, dtype=dtype) != "unsat"


def known(name: str) -> tuple[Network, str, tuple[Fraction, ...], bool]:
    if not CASES.exists():
        pytest.skip("the shared cases are not here")
    file, point, real = SHARED[name]
    narrow = tuple(Fraction(float(np.float32(x))) for x in point)
    text = (CASES / f"{name}.vnnlib").read_text(encoding="utf-8")
    return Network(CASES / f"{file}.onnx"), text, narrow, real
