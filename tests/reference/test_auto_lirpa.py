"""IBP and CROWN bounds of the digits networks against figures of another implementation.

`auto_lirpa.json` holds bounds that auto_LiRPA 0.3 computed in float32 for the three networks in
`examples/digits`. Each record names the network, the method and the radius of the box around
`image.npy`, which is cut to [0, 1].
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import boundmesh
from boundmesh import Box

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
RECORDS = json.loads((Path(__file__).parent / "auto_lirpa.json").read_text())
NAMES = [f"{each['network']}-{each['method']}-{each['eps']}" for each in RECORDS]


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_are_the_figures_of_auto_lirpa(record: dict[str, Any], dtype: str) -> None:
    image = np.load(DIGITS / "image.npy")
    box = Box.around(image, record["eps"], clip=(0, 1))
    graph = boundmesh.load(DIGITS / record["network"])
    found = boundmesh.bounds(
        graph, box, method=record["method"], dtype=dtype, rounding="trust", device="cpu"
    )
    np.testing.assert_allclose(found.lower, record["lower"], rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(found.upper, record["upper"], rtol=2e-5, atol=2e-4)
