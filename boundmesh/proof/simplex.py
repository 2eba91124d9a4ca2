"""Decides small systems of linear inequalities in exact numbers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Row = list[Fraction]
ZERO, ONE = Fraction(0), Fraction(1)


def feasible(rows: Sequence[tuple[Sequence[Fraction], Fraction, bool]], widths: Row) -> bool:
    """Return True if some x with `0 ≤ x ≤ widths` satisfies every row (a, b, strict).

    A row demands `⟨a, x⟩ ≤ b`, and a strict one `<`. The largest t with `⟨a, x⟩ + t ≤ b` in all
    strict rows and t ≤ 1 is found by the simplex method with Bland's rule, in exact arithmetic
    (Chvátal, Linear Programming, 1983, chapter 3).
    """
    count, any_strict = len(widths), any(strict for _, _, strict in rows)
    table = [[*a, ONE if strict else ZERO] for a, _, strict in rows]
    limits = [b for _, b, _ in rows]
    for index, width in enumerate(widths):
        table.append([ONE if i == index else ZERO for i in range(count + 1)])
        limits.append(width)
    table.append([ZERO] * count + [ONE])
    limits.append(ONE)
    return _Dictionary(table, limits).reaches(count, any_strict)


class _Dictionary:
    """The dictionary `basic = limit − Σ coefficient·nonbasic` of a linear program."""

    def __init__(self, table: list[Row], limits: Row) -> None:
        columns = len(table[0])
        # Column `columns` is the artificial variable of the first phase.
        self.rows = [[*row, -ONE] for row in table]
        self.limits = list(limits)
        self.nonbasic = list(range(columns + 1))
        self.basic = [columns + 1 + index for index in range(len(table))]
        self.artificial = columns

    def reaches(self, variable: int, strict: bool) -> bool:
        """Return True if the system has a solution, with `variable` above 0 where strict."""
        low = min(range(len(self.limits)), key=self.limits.__getitem__)
        if self.limits[low] < 0:
            self.pivot(low, self.nonbasic.index(self.artificial))
            goal = self.maximize({self.artificial: -ONE})
            if goal < 0:
                return False
            if self.artificial in self.basic:
                row = self.basic.index(self.artificial)
                column = next((c for c, value in enumerate(self.rows[row]) if value), None)
                if column is not None:
                    self.pivot(row, column)
        if self.artificial in self.nonbasic:
            column = self.nonbasic.index(self.artificial)
            for line in self.rows:
                line[column] = ZERO
        return not strict or self.maximize({variable: ONE}) > 0

    def maximize(self, goal: dict[int, Fraction]) -> Fraction:
        """Pivot until the goal, a sum of variables, is largest; return its value."""
        while True:
            value, costs = ZERO, [goal.get(v, ZERO) for v in self.nonbasic]
            for v, row, limit in zip(self.basic, self.rows, self.limits, strict=True):
                if v in goal:
                    value += goal[v] * limit
                    costs = [c - goal[v] * a for c, a in zip(costs, row, strict=True)]
            entering = [
                (v, index) for index, (v, c) in enumerate(zip(self.nonbasic, costs, strict=True))
                if c > 0
            ]  # fmt: skip
            if not entering:
                return value
            _, column = min(entering)
            ratios = [
                (limit / row[column], v, index)
                for index, (v, row, limit) in enumerate(
                    zip(self.basic, self.rows, self.limits, strict=True)
                )
                if row[column] > 0
            ]
            self.pivot(min(ratios)[2], column)

    def pivot(self, index: int, column: int) -> None:
        """Exchange the basic variable of a row with the nonbasic one of a column."""
        row, pivot_value = self.rows[index], self.rows[index][column]
        self.basic[index], self.nonbasic[column] = self.nonbasic[column], self.basic[index]
        self.rows[index] = row = [coefficient / pivot_value for coefficient in row]
        row[column] = 1 / pivot_value
        self.limits[index] /= pivot_value
        for other, old in enumerate(self.rows):
            factor = old[column]
            if other == index or not factor:
                continue
            old[column] = ZERO
            self.rows[other] = [a - factor * b for a, b in zip(old, row, strict=True)]
            self.limits[other] -= factor * self.limits[index]
