"""When a graph differs from its source, and where it is compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx.parser
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import boundmesh
from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import tensors
from boundmesh.graph.graph import Graph, Port
from boundmesh.property import Atom, Ball, Box, Case, Clause, Property
from boundmesh.read.agreement import agrees_with_source
from boundmesh.read.onnx import loads
from boundmesh.read.points import sample_points
from boundmesh.read.runtime import inside
from boundmesh.read.value_boxes import PRECISIONS, boxes
from boundmesh.verdict import Verified
from tests.graph.small import changed, network

BOX = Box(np.full(4, -1.0), np.full(4, 1.0))


def test_a_graph_agrees_with_its_source():
    agrees_with_source(network(), [BOX])


def test_float16_and_float64_networks_agree_within_their_own_rounding():
    agrees_with_source(network(dtype=10), [BOX])
    agrees_with_source(network(dtype=11), [BOX])


def test_a_difference_is_refused_with_the_first_value_that_shows_it():
    graph = network()
    weights = dict(graph.weights)
    weights["w"] = weights["w"] * 1.001
    with pytest.raises(ReadError, match=r"first at 'h' \(operator 'linear'\)"):
        agrees_with_source(replace(graph, weights=weights), [BOX])
    with pytest.raises(ReadError, match=r"first at 'r' \(operator 'abs'\)"):
        agrees_with_source(changed(graph, "r", op="abs"), [BOX])


def test_a_float64_network_is_held_to_float64():
    graph = network(dtype=11)
    weights = dict(graph.weights)
    weights["w"] = weights["w"] * (1 + 1e-9)
    with pytest.raises(ReadError, match="differs from ONNX Runtime"):
        agrees_with_source(replace(graph, weights=weights), [BOX])


def test_an_output_that_is_nan_is_refused():
    graph = network(helper.make_node("Sqrt", ["s"], ["y"]))
    with pytest.raises(ReadError, match="NaN"):
        agrees_with_source(graph, [BOX])


def test_a_point_without_an_exact_value_is_no_error_of_translation() -> None:
    """x/‖x‖ is 0/0 at zero, where LpNormalization of ONNX Runtime gives zero."""
    norm = helper.make_node("ReduceL2", ["x"], ["n"], axes=[1])
    graph = network(norm, helper.make_node("Div", ["x", "n"], ["y"]))
    with_zero = network(helper.make_node("LpNormalization", ["x"], ["y"]))
    box = Box(np.zeros(4), np.ones(4))
    with pytest.raises(ReadError, match="the network has no value at a point"):
        agrees_with_source(replace(graph, source=with_zero.source), [box])
    agrees_with_source(with_zero, [box])


def test_means_of_a_group_agree_in_the_type_that_they_are_computed_in() -> None:
    """ONNX Runtime computes them in float32 in a float64 network, unless the file has another."""
    for stage, dtype in ((1, "float32"), (11, "float64")):
        graph = grouped(stage)
        assert inside(graph).narrowest == dtype
        agrees_with_source(graph, [Box(np.full(6, 0.1), np.full(6, 0.2))])


def grouped(stage: int) -> Graph:
    model = onnx.parser.parse_model(f"""<ir_version: 9, opset_import: ["" : 21]>
    g (double[1, 2, 3] x) => (double[1, 2, 3] y)
    <double[2] gain = {{1.1, 2.3}}, double[2] offset = {{0.1, 0.7}}>
    {{ y = GroupNormalization<num_groups=2, stash_type={stage}>(x, gain, offset) }}""")
    return loads(model.SerializeToString())


def test_a_network_that_drowns_in_float32_is_refused_unless_bounds_are_in_float64():
    large = helper.make_node("Constant", [], ["large"], value_float=1e9)
    plus = helper.make_node("Add", ["r", "large"], ["q"])
    relu = helper.make_node("Relu", ["q"], ["u"])
    graph = network(large, plus, relu, helper.make_node("Sub", ["u", "large"], ["y"]))
    with pytest.raises(ReadError, match="use float64"):
        agrees_with_source(graph, [BOX])
    agrees_with_source(graph, [BOX], dtype=torch.float64)


def test_outputs_that_underflow_in_float32_are_no_reason_to_refuse() -> None:
    """10⁻⁴⁴·x is rounded to a multiple of 1.4·10⁻⁴⁵, and is never 1 all the same."""
    small = helper.make_node("Constant", [], ["small"], value_float=1e-22)
    nodes = [small, helper.make_node("Mul", ["x", "small"], ["t"]),
             helper.make_node("Mul", ["t", "small"], ["s"]),
             helper.make_node("Relu", ["s"], ["y"])]  # fmt: skip
    graph = loads(single(nodes, [1]))
    box = Box(np.array([0.1]), np.array([0.9]))
    clause = Clause((Atom((), ((0, -1.0),), -1.0),))
    property = Property((Case(box, (clause,)),), 1, 1)
    assert isinstance(boundmesh.verify(graph, property).verdict, Verified)


def test_a_graph_without_a_source_has_nothing_to_agree_with():
    agrees_with_source(replace(network(), source=None), [BOX])


def test_a_difference_in_any_region_is_found():
    graph = network()
    away = Box(np.full(4, 40.0), np.full(4, 41.0))
    limit = helper.make_node("Constant", [], ["limit"], value_float=5.0)
    source = network(limit, helper.make_node("Min", ["s", "limit"], ["y"])).source
    agrees_with_source(replace(graph, source=source), [BOX])
    with pytest.raises(ReadError, match="differs from ONNX Runtime"):
        agrees_with_source(replace(graph, source=source), [BOX, away])
    far = Ball(np.full(4, 40.0), 0.5, 2)
    with pytest.raises(ReadError, match="differs from ONNX Runtime"):
        agrees_with_source(replace(graph, source=source), [Ball(np.zeros(4), 0.5, 1), far])


def test_a_sum_that_cancels_may_be_off_by_the_rounding_of_its_terms():
    """relu(s + 10⁴) − 10⁴ is s to about 10⁻³."""
    large = helper.make_node("Constant", [], ["large"], value_float=1e4)
    plus = helper.make_node("Add", ["s", "large"], ["q"])
    relu = helper.make_node("Relu", ["q"], ["u"])
    graph = network(large, plus, relu, helper.make_node("Sub", ["u", "large"], ["y"]))
    agrees_with_source(graph, [BOX])
    nudged = {name: array + 1e-1 if array.shape == (3,) else array
              for name, array in graph.weights.items()}  # fmt: skip
    with pytest.raises(ReadError, match="first at"):
        agrees_with_source(replace(graph, weights=nudged), [BOX])


def test_points_lie_in_their_regions_as_numbers_of_the_inputs_types():
    ports = (Port("a", (2,)), Port("b", (2,), "float16"))
    points = sample_points([BOX], ports, 10, seed=3)
    assert (np.abs(points) <= 1).all()
    assert (points[:, :2] == points[:, :2].astype(np.float32)).all()
    assert (points[:, 2:] == points[:, 2:].astype(np.float16)).all()
    assert (points[:, :2] != points[:, :2].astype(np.float16)).any()


@pytest.mark.parametrize("p", [1, 2])
def test_points_of_a_ball_are_its_centre_and_some_on_its_sphere(p):
    points = sample_points(
        [Ball(np.full(4, 3.0), 0.5, p)], (Port("x", (4,), "float64"),), 16, seed=0
    )
    norms = np.linalg.norm(points - 3, ord=p, axis=1)
    assert norms[0] == 0
    assert (norms <= 0.5 + 1e-12).all()
    assert (norms > 0.49).sum() >= 2


@pytest.mark.parametrize(("count", "affordable"), [(1, 0), (3, 0), (3, 100), (40, 60), (500, 0)])
def test_the_first_region_has_its_centre_two_corners_and_two_random_points(count, affordable):
    regions = [Box(np.full(2, float(place)), np.full(2, place + 0.5)) for place in range(count)]
    points = sample_points(regions, (Port("x", (2,), "float64"),), affordable, seed=0)
    first = points[(points <= 0.5).all(axis=1)]
    assert len(first) >= 5
    for known in (0.25, 0.0, 0.5):
        assert (first == known).all(axis=1).any()
    if affordable >= count:
        assert set(np.floor(points[:, 0])) == set(range(count))


def test_an_empty_region_has_no_points():
    empty = Box(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert len(sample_points([empty], (Port("x", (2,)),), 100, seed=0)) == 0


@pytest.mark.parametrize("seed", range(20))
def test_float32_in_any_order_of_sums_lies_in_the_boxes(seed):
    """A network of badly scaled layers, summed in a random order in float32."""
    random = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, 6), "x")
    shapes = [(7, 6), (5, 7)]
    matrices = [(random.normal(size=s) * 10.0 ** random.integers(-3, 4, s)).astype(np.float32)
                for s in shapes]  # fmt: skip
    offsets = [(random.normal(size=s[0]) * 10.0 ** random.integers(-3, 4, s[0])).astype(np.float32)
               for s in shapes]  # fmt: skip
    h = build.add("relu", build.add("linear", x, weights=(matrices[0], offsets[0])))
    y = build.add("linear", h, weights=(matrices[1], offsets[1]))
    graph = build.graph(y, (Port("x", (1, 6)),), (Port("y", (1, 5)),))
    value = point = (random.normal(size=6) * 100).astype(np.float32)
    for layer, (matrix, offset) in enumerate(zip(matrices, offsets, strict=True)):
        products = np.concatenate([matrix * value, offset[:, None]], axis=1)
        value = np.zeros(len(matrix), np.float32)
        for place in random.permutation(products.shape[1]):
            value = value + products[:, place]
        value = np.maximum(value, 0) if layer == 0 else value
    start = torch.from_numpy(point.astype(np.float64)).reshape(1, 1, 6)
    weights = tensors(graph, torch.float64)
    found = {node.name: box for node, box in boxes(graph, weights, start, PRECISIONS["float32"])}
    box = found[graph.output]
    assert (box.lower.flatten().numpy() <= value).all()
    assert (value <= box.upper.flatten().numpy()).all()


def test_a_graph_of_another_size_is_refused():
    graph = network()
    source = network(helper.make_node("Concat", ["s", "s"], ["y"], axis=1)).source
    with pytest.raises(ReadError, match="gives 6 outputs, the network as read 3"):
        agrees_with_source(replace(graph, source=source), [BOX])


def test_rounding_across_a_jump_is_no_difference():
    """⌊10·x⌋ is 6 at the float32 next to 0.7 and 7 where the product is rounded to float32."""
    ten = helper.make_node("Constant", [], ["ten"], value_float=10.0)
    nodes = [ten, helper.make_node("Mul", ["x", "ten"], ["t"]),
             helper.make_node("Floor", ["t"], ["y"])]  # fmt: skip
    assert np.floor(np.float32(0.7) * np.float32(10)) > np.floor(float(np.float32(0.7)) * 10)
    agrees_with_source(loads(single(nodes, [1])), [Box(np.array([0.4]), np.array([1.0]))])


@pytest.mark.parametrize("op", ["Mul", "MatMul", "Add"])
def test_a_value_that_is_rounded_as_an_output_alone_is_no_difference(op: str) -> None:
    """1 − 2⁻¹² rounds to 1 in float16; ONNX Runtime gives ⌊1 − 2⁻¹²⌋ and shows 1 as the value."""
    x, w = (0.5, 0.5 - 2**-12) if op == "Add" else (1365 / 1024, 0.75)
    nodes = [helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(
                 np.full((1, 1), w, np.float16))),
             helper.make_node(op, ["x", "w"], ["t"]),
             helper.make_node("Floor", ["t"], ["y"])]  # fmt: skip
    point = np.full((1, 1), x)
    agrees_with_source(loads(single(nodes, [1, 1], TensorProto.FLOAT16)), [Box(point, point)])


def test_a_long_average_in_float32_is_no_difference():
    """ONNX Runtime adds 4096 numbers one by one, which loses more than torch's sums do."""
    pool = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    size = 8 * 64 * 64
    graph = loads(single([pool], [1, 8, 64, 64]))
    agrees_with_source(graph, [Box(np.zeros(size), np.ones(size))])


def test_the_logarithm_of_a_sigmoid_near_zero_is_no_difference() -> None:
    """ONNX Runtime's sigmoid has an absolute error, by which the logarithm is off near zero."""
    nodes = [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Log", ["s"], ["y"])]
    graph = loads(single(nodes, [1, 8]))
    for most in (5.0, 12.0):
        agrees_with_source(graph, [Box(np.full(8, -most), np.full(8, most))])


def single(nodes, shape: list[int], dtype: int = TensorProto.FLOAT) -> bytes:
    """A file of the nodes, which take x of the shape to y."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", dtype, shape)], [info("y", dtype, None)])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def bent_far_away():
    """The small network, whose file cuts its outputs at 5, which they reach far from zero alone."""
    limit = helper.make_node("Constant", [], ["limit"], value_float=5.0)
    source = network(limit, helper.make_node("Min", ["s", "limit"], ["y"])).source
    return replace(network(), source=source)


def test_bounds_compare_the_graph_with_its_file_in_boxes_and_balls():
    graph = bent_far_away()
    boundmesh.bounds(graph, BOX, method="ibp")
    for region in (Box(np.full(4, 40.0), np.full(4, 41.0)), Ball(np.full(4, 40.0), 0.5, 2)):
        with pytest.raises(BoundmeshError, match="differs from ONNX Runtime"):
            boundmesh.bounds(graph, region, method="ibp")


def test_verify_compares_the_graph_with_its_file_in_every_case():
    clause = Clause((Atom((), ((0, -1.0),), -1e6),))
    cases = [Case(region, (clause,)) for region in (BOX, Ball(np.full(4, 40.0), 0.5, 1))]
    graph = bent_far_away()
    assert isinstance(boundmesh.verify(graph, Property((cases[0],), 4, 3)).verdict, Verified)
    with pytest.raises(BoundmeshError, match="differs from ONNX Runtime"):
        boundmesh.verify(graph, Property(tuple(cases), 4, 3))
