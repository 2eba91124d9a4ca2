"""Splits the inputs of many regions together, so that each batch is full of boxes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import BoxRegion, part_of
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.ladder import FEW_INPUTS
from boundmesh.proof.question import free_inputs
from boundmesh.proof.standing import Standing
from boundmesh.runtime.clock import Clock
from boundmesh.search.input_split import InputSplitting
from boundmesh.settings import BoundSettings, BranchSettings

# So many boxes are bounded for each region. What is open then is searched region by region.
BOXES = 32


def open_together(standing: Standing, settings: BranchSettings) -> Tensor:
    """Return the open regions that are split together; none where fewer than two can be.

    They are boxes of few inputs, which are split by input, and their clauses have no choices.
    """
    nothing = torch.empty(0, dtype=torch.long)
    margins, region = standing.question.margins, standing.question.region
    if not isinstance(region, BoxRegion) or settings.branching not in ("auto", "input"):
        return nothing
    if margins.factored.any() or not all(margins.members):
        return nothing
    open_regions = standing.open.any(1).nonzero().flatten()
    few = len(open_regions) > 1 and (
        settings.branching == "input" or free_inputs(part_of(region, open_regions)) <= FEW_INPUTS
    )
    return open_regions if few else nothing


def search_together(
    standing: Standing,
    regions: Tensor,
    bounds: BoundSettings,
    settings: BranchSettings,
    clock: Clock,
    look: Callable[[int, Tensor], object],
) -> SearchAccount:
    """Split the open `regions` of `standing` together, and enter there those that are refuted.

    The search ends early once it has bounded `BOXES` boxes for each region. A region is refuted
    if no box that is open lies in it, and no box was given up. Raises OutOfTime.
    """
    question = standing.question
    region = part_of(question.region, regions)
    assert isinstance(region, BoxRegion)
    clauses = standing.open[regions].any(0).nonzero().flatten()

    def see(points: Tensor) -> object:
        """Replay each point in the regions that contain it."""
        for point in points:
            for place in _containing(region, point).tolist():
                counterexample = look(question.cases[int(regions[place])], point.unsqueeze(0))
                if counterexample is not None:
                    return counterexample
        return None

    splitting = InputSplitting(
        question.problem(region, bounds, clock),
        question.margins.only(clauses),
        question.offset,
        settings,
        clock,
        see,
    )
    standing.searches.append(splitting.shared.whole)
    with clock.stage("branch"):
        account = splitting.run(region, BOXES * len(regions))
    if account.found or account.stuck:
        return account
    left = torch.zeros(len(regions), dtype=torch.bool)
    if account.open:
        boxes = splitting.frontier.pop(len(splitting.frontier)).region
        # Every box is part of a region, so that region contains the box's lower corner.
        for corner in boxes.lower.to(region.lower.device):
            left[_containing(region, corner).cpu()] = True
        account.open = 0
    for domain in regions[~left].tolist():
        standing.close(domain, standing.open[domain].nonzero().flatten(), account.proved)
    return account


def _containing(region: BoxRegion, point: Tensor) -> Tensor:
    """Return the numbers of the boxes that contain a point of the input's shape."""
    inside = (region.lower <= point) & (point <= region.upper)
    return inside.flatten(1).all(1).nonzero().flatten()
