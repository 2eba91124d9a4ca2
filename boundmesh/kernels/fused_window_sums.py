"""Sums over rows in windows, and pulls them through two pieces, on GPUs that have Triton.

Each kernel reads the rows once and computes all sums that their way needs at a node. A program adds
up a short row, or a part of a long one, in a fixed order. A last kernel adds up the parts. How a
row is divided depends on its size alone, so its sums do not depend on the other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from boundmesh.kernels import launcher
from boundmesh.kernels.fused_rows import apart, within
from boundmesh.kernels.fused_windows import Reach, chunk
from boundmesh.kernels.sums import Collected, added

KERNELS = "kernels.window_sums_triton"
SHORT_BLOCK, BLOCK, WHOLE = 1024, 4096, 8192
"""Rows of more than WHOLE coefficients are divided into parts of BLOCK coefficients.

Others are added up in blocks of BLOCK, or of SHORT_BLOCK if they are no longer than BLOCK. A block
of 2ᵏ numbers takes k roundings, and each further block or part one more. This is never more than
`by_kernel` counts.
"""
LINES = 128
"""The rows whose parts one program adds up."""


def signed_sums(
    rows: Tensor, below: Tensor, above: Tensor, reach: Reach, onto: Tensor | None = None
) -> Tensor:
    """Return `onto + ⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]`, where `onto` may be None for zero.

    A = rows `[D or 1, S, *window, C]`; below and above are maps `[D or 1, places, C]`; onto
    `[D or 1, S]`.
    """
    rows = rows.contiguous()
    plan = plan_sums(rows, max(rows.shape[0], below.shape[0]), (onto,))
    if rows.numel():
        constants = plan.added[0], plan.divided, plan.wide, plan.block
        launcher.start(
            launcher.module(KERNELS).signed_sums,
            (launcher.aligned(rows, below, above), *constants), plan.grid, rows,
            rows, below, above, reach.places, plan.onto[0], plan.sums[0], *plan.lengths,
            chunks_apart(rows), chunks_apart(below), apart(plan.onto[0]),
            *reach.spans, *constants, num_warps=plan.warps,
        )  # fmt: skip
    (found,) = added_up(plan, (onto,))
    return found


def row_sums(
    rows: Tensor, reach: Reach, features: Tensor | None, collected: Collected
) -> Collected:
    """Add `⟨A, features⟩` to the bias, and what is due to the error; nothing is due then.

    A = rows `[D or 1, S, *window, C]`; features `[C]` are the same at all places (None: zero).
    """
    due = collected.due
    if features is None and due is None:
        return collected
    rows = rows.contiguous()
    domains = max(rows.shape[0], 1 if due is None else due.shape[0])
    onto = [collected.bias] * (features is not None) + [collected.error] * (due is not None)
    plan = plan_sums(rows, domains, onto)
    if rows.numel():
        bias, error = 0, len(onto) - 1
        constants = (
            features is not None, due is not None, features is not None and plan.added[bias],
            due is not None and plan.added[error], plan.divided, plan.wide, plan.block,
        )  # fmt: skip
        values, sizes = (rows if each is None else each for each in (features, due))
        launcher.start(
            launcher.module(KERNELS).row_sums, (launcher.aligned(rows, values, sizes), *constants),
            plan.grid, rows, rows, values, sizes, reach.places, plan.onto[bias], plan.onto[error],
            plan.sums[bias], plan.sums[error], *plan.lengths, chunks_apart(rows),
            0 if due is None else chunks_apart(due), apart(plan.onto[bias]),
            apart(plan.onto[error]), *reach.spans, *constants, num_warps=plan.warps,
        )  # fmt: skip
    found = added_up(plan, onto)
    return Collected(
        collected.bias if features is None else found[0],
        collected.error if due is None else found[-1],
    )


def lines_of(lower: Tensor, upper: Tensor, slope: float) -> Tensor:
    """Return CROWN's lines of the function that is x above zero and `slope·x` below.

    `lower` and `upper` are bounds of x, and the result is `[3, *shape]` for their shape: the slope
    below, the slope above, and the intercept above.
    """
    lower, upper = lower.contiguous(), upper.contiguous()
    out = lower.new_empty(3, *lower.shape)
    if lower.numel():
        launcher.start(
            launcher.module(KERNELS).lines, launcher.aligned(lower, upper, out),
            (-(-lower.numel() // SHORT_BLOCK), 1, 1), lower, lower, upper, out, float(slope),
            lower.numel(), SHORT_BLOCK,
        )  # fmt: skip
    return out


def pull_pieces(
    rows: Tensor, lines: Tensor, reach: Reach, collected: Collected
) -> tuple[Tensor, Collected]:
    """Return rows `[D, S, *window, C]` pulled back through `lines_of`, and what they collect.

    `rows` has the shape `[D or 1, S, *window, C]`, and `lines` are maps `[3, D or 1, places, C]`;
    `reach` holds where the windows lie. Intercepts are added to the bias, and what is due to the
    error.
    """
    rows, due, (below, above, intercept) = rows.contiguous(), collected.due, lines
    domains = max(rows.shape[0], below.shape[0], 1 if due is None else due.shape[0])
    plan = plan_sums(rows, domains, sums_changed(collected))
    out = rows.new_empty(domains, *rows.shape[1:])
    if rows.numel():
        constants, sizes = plan.constants, rows if due is None else due
        launcher.start(
            launcher.module(KERNELS).pull_pieces,
            (launcher.aligned(rows, below, above, intercept, sizes), *constants), plan.grid, rows,
            rows, below, above, intercept, sizes, reach.places, plan.onto[0], plan.onto[-1], out,
            plan.sums[0], plan.sums[-1], *plan.lengths, chunks_apart(rows), chunks_apart(below),
            0 if due is None else chunks_apart(due), apart(plan.onto[0]), apart(plan.onto[-1]),
            *reach.spans, *constants, num_warps=plan.warps,
        )  # fmt: skip
    return out, collected_after(plan, collected)


@dataclass(frozen=True)
class SumPlan:
    """Where a kernel writes its sums of rows, and how it divides a row.

    sums     `[domains, S]` each, or `[domains·S, parts]` if rows are divided
    onto     what a sum is added to, `[D or 1, S]` (None: zero, or more domains than the sum has)
    block    how many coefficients are added up side by side
    wide     how many features a chunk has
    grid     the programs; the second axis counts the parts of a row
    lengths  S, the chunks of a row, those of a part, and those of a place
    """

    sums: Tensor
    onto: Sequence[Tensor | None]
    block: int
    wide: int
    grid: tuple[int, int, int]
    lengths: tuple[int, int, int, int]

    @property
    def divided(self) -> bool:
        return self.grid[1] > 1

    @property
    def warps(self) -> int:
        return 4 if self.block == SHORT_BLOCK else 8

    @property
    def added(self) -> tuple[bool, ...]:
        return tuple(each is not None for each in self.onto)

    @property
    def constants(self) -> tuple[bool, bool, bool, bool, int, int]:
        """The constants of a kernel that pulls rows back and writes the `sums_changed`."""
        charged = len(self.onto) > 1
        first, last = self.added[0], charged and self.added[-1]
        return charged, first, last, self.divided, self.wide, self.block


def sums_changed(collected: Collected) -> list[Tensor | None]:
    """Return the sums that a pull through a nonlinear node changes, which an error is if due."""
    return [collected.bias, *[collected.error] * (collected.due is not None)]


def collected_after(plan: SumPlan, before: Collected) -> Collected:
    """Return what rows have collected after a kernel wrote the sums that `sums_changed` returns."""
    found = added_up(plan, sums_changed(before))
    return Collected(found[0], before.error if before.due is None else found[-1])


def plan_sums(rows: Tensor, domains: int, onto: Sequence[Tensor | None]) -> SumPlan:
    """Return where a kernel writes one sum for each of `onto`."""
    count, size, wide = rows.shape[1], prod(rows.shape[2:]), chunk(rows.shape[-1])
    parts = -(-size // BLOCK) if size > WHOLE and rows.numel() else 1
    shape = (domains, count) if parts == 1 else (domains * count, parts)
    new = rows.new_empty if rows.numel() else rows.new_zeros
    length, chunks = (size if parts == 1 else BLOCK) // wide, rows.shape[-1] // wide
    return SumPlan(
        new(len(onto), *shape),
        [within(each, domains) for each in onto],
        SHORT_BLOCK if size <= BLOCK else BLOCK,
        wide,
        (domains * count, parts, 1),
        (count, size // wide, length, chunks),
    )


def added_up(plan: SumPlan, onto: Sequence[Tensor | None]) -> list[Tensor]:
    """Return the sums `[D, S]`, each added to its entry of `onto`."""
    sums, known = plan.sums, plan.onto
    if plan.divided:
        (lines, parts, _), count = plan.grid, plan.lengths[0]
        constants = known[0] is not None, known[-1] is not None, LINES
        out = sums.new_empty(len(onto), lines // count, count)
        launcher.start(
            launcher.module(KERNELS).add_parts, constants, (-(-lines // LINES), len(onto), 1), sums,
            sums, known[0], known[-1], out, lines, count, parts, apart(known[0]), apart(known[-1]),
            *constants,
        )  # fmt: skip
        sums = out
    return [
        each if mine is not None and each.numel() else added(wanted, each)
        for wanted, mine, each in zip(onto, known, sums, strict=True)
    ]


def chunks_apart(values: Tensor) -> int:
    """Return the stride between two domains in chunks; 0 if all domains share one entry."""
    return 0 if values.shape[0] == 1 else values.stride(0) // chunk(values.shape[-1])
