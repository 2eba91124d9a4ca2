"""One network, one call of verify, one judgement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import boundmesh
from tests.adversary.generate import Instance
from tests.adversary.judge import Fault, judge_sat, judge_unsat
from tests.adversary.options import SEMANTICS

# Ways to decide that differ in what they compute; drawn with these weights.
WAYS: tuple[tuple[float, dict[str, object]], ...] = (
    (0.45, {"restarts": 0}),
    (0.15, {}),
    (0.1, {"restarts": 0, "dtype": "float64"}),
    (0.1, {"restarts": 0, "branching": "input"}),
    (0.05, {"restarts": 0, "branching": "babsr"}),
    (0.05, {"restarts": 0, "method": "crown"}),
    (0.05, {"restarts": 0, "method": "alpha-crown"}),
    (0.05, {"restarts": 0, "method": "ibp"}),
)


@dataclass(frozen=True)
class Judged:
    """What boundmesh said of an instance: a verdict's word, or `error` with its message."""

    seed: int
    word: str
    fault: Fault | None = None
    message: str = ""


def judged(instance: Instance, folder: Path, mode: str, timeout: float = 3.0) -> Judged:
    """The verdict under `--rounding mode` (real for a network of float64), judged.

    What is no BoundmeshError does not pass through: its word is `defect`.
    """
    mode = "real" if instance.net.double else mode
    model, words = instance.write(folder)
    rng = np.random.default_rng([instance.seed, 1])
    way = WAYS[rng.choice(len(WAYS), p=[weight for weight, _ in WAYS])][1]
    chosen = {"timeout": timeout, "threads": 1, "device": "cpu", "steps": 20, "restarts": 4} | way
    try:
        result = boundmesh.verify(model, words, **chosen, rounding=mode)
    except boundmesh.BoundmeshError as error:
        return Judged(instance.seed, "error", message=f"{type(error).__name__}: {error}")
    except Exception as error:
        return Judged(instance.seed, "defect", message=f"{type(error).__name__}: {error}")
    finally:
        model.unlink()
        words.unlink()
    verdict = result.verdict
    fault = None
    if isinstance(verdict, boundmesh.Verified):
        fault = judge_unsat(instance, SEMANTICS[mode])
    elif isinstance(verdict, boundmesh.Falsified):
        fault = judge_sat(instance, verdict.counterexample.point, SEMANTICS[mode])
    return Judged(instance.seed, verdict.word, fault, str(way) if fault else "")
