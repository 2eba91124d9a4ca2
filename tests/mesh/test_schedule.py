"""The predicted traffic of both schedules, and which of them is chosen."""

from __future__ import annotations

from boundmesh.mesh.runtime.traffic import traffic
from tests import networks
from tests.mesh.cases import Case


def test_a_wide_layer_with_few_rows_stays_where_it_is() -> None:
    found = traffic(networks.mlp(600, 4100, 2), ranks=2, tile_elements=2**16, domains=4)
    assert found.schedule == "exchange"
    # Two layers, one round, half of each weight; two rows of each output and domain.
    assert found.gather == 4 * (600 * 4100 + 4100 * 2) // 2
    # The first layer's inputs are added up. Its bias, the intercepts and the minimum turn rows.
    assert found.exchange == 4 * 4 * 2 * 2 * (600 // 2 + (4100 + 4100 + 600) // 4)


def test_small_kernels_come_to_the_many_rows_of_a_convolution() -> None:
    assert traffic(Case("resnet").graph, ranks=2, tile_elements=2**20).schedule == "gather"


def test_more_ranks_receive_fewer_weights_and_no_more_rows_in_all() -> None:
    graph = networks.mlp(20, 300, 300, 300, 5)
    two, four = (traffic(graph, ranks, tile_elements=3000) for ranks in (2, 4))
    assert four.gather < two.gather
    assert two.exchange < four.exchange < 3 / 2 * two.exchange
