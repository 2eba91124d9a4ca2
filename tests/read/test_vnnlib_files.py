"""The properties of VNN-COMP are read with the sizes of their families."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boundmesh.read import vnnlib

DATA = Path(__file__).parents[3] / "shared" / "data" / "vnncomp"
# Inputs, and outputs where they are the same in the whole family.
SIZES = {
    "acasxu": (5, 5),
    "cersyve": (4, 2),
    "cifar10_resnet": (3072, 10),
    "collins_rul_cnn": (None, 1),
    "dist_shift": (792, 10),
    "linearizenn": (4, 2),
    "lsnc": (6, None),
    "malbeware": (4096, 25),
    "metaroom_4cnn": (5376, 20),
    "ml4acopf": (None, None),
    "mnist_fc": (784, 10),
    "oval21": (3072, 10),
    "reach_prob_density": (None, None),
    "rl_benchmarks": (None, None),
    "safenlp": (30, 2),
    "sat_relu": (None, 2),
    "sri_resnet_a": (3072, 10),
    "tllverifybench": (2, 1),
    "vit_2023": (3072, 10),
    "yolo": (8112, 21125),
    "cora": (None, 10),
}


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize("family", SIZES)
def test_properties_of_the_family_are_read(family):
    files = sorted((DATA / family / "vnnlib").rglob("*.gz"))
    assert files
    # The files of a family differ in their numbers alone, so some from the whole list will do.
    for path in files[:: len(files) // 10 + 1]:
        query = vnnlib.read(path)
        inputs, outputs = SIZES[family]
        assert query.inputs[0].size == (inputs or query.inputs[0].size)
        assert query.outputs[0].size == (outputs or query.outputs[0].size)
        property = vnnlib.fit(query, query.inputs, query.outputs)
        assert property.cases
        assert property.warnings == ()
        for case in property.cases:
            assert np.isfinite(case.region.lower).all() and not case.region.empty
            assert case.clauses and all(clause.atoms for clause in case.clauses)


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
def test_an_input_side_disjunction_gives_one_case_per_box():
    query = vnnlib.read(DATA / "acasxu" / "vnnlib" / "prop_6.vnnlib.gz")
    property = vnnlib.fit(query, query.inputs, query.outputs)
    assert [len(case.clauses) for case in property.cases] == [4, 4]
