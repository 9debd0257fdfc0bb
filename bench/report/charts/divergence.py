"""Divergence against bits per weight: what each bit buys where accuracy sees nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.metrics.divergence import Divergence
from bench.report.charts import MUTED, WIDTH, family_legend
from bench.report.charts.labels import Mark, label, settle
from bench.summary.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def divergence_against_bits(rows: Sequence[Row]) -> Figure | None:
    """Draw mean KL with its interval, on a log axis, and the share of equal top tokens, against bits per weight."""
    from matplotlib.figure import Figure

    points = [
        (row, row.bits_per_weight, row.divergence)
        for row in rows
        if row.divergence and row.bits_per_weight and not row.is_reference and row.divergence.kl_mean.value > 0
    ]
    if not points:
        return None
    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.set_xlabel("bits per weight, as measured")
        axes.grid(axis="y")
        axes.margins(x=0.12, y=0.12)
    marks = _kl(left, points), _same_top(right, points)
    family_legend(figure, [row for row, _, _ in points])
    settle(figure)
    label(left, marks[0])
    label(right, marks[1])
    return figure


def _kl(axes: Axes, points: Sequence[tuple[Row, float, Divergence]]) -> list[Mark]:
    axes.set_title("Mean KL to the base of the same runtime")
    axes.set_ylabel("nats per token, with 95 % interval (log scale)")
    axes.set_yscale("log")
    marks = []
    for row, bits, found in points:
        mean = found.kl_mean
        low = mean.low if mean.low and mean.low > 0 else mean.value
        marks.append(_point(axes, row, Mark(row.variant, bits, mean.value, low, mean.high or mean.value)))
    floors = [found.rounding_floor for _, _, found in points if found.rounding_floor]
    if floors and max(floors) * 300 > min(found.kl_mean.value for _, _, found in points):
        axes.axhline(max(floors), color=MUTED, lw=1, ls=":")
        axes.annotate(
            "rounding floor", (1, max(floors)), (-3, 3), ("axes fraction", "data"), textcoords="offset points",
            ha="right", va="bottom", color=MUTED, fontsize=11,
        )  # fmt: skip
    return marks


def _same_top(axes: Axes, points: Sequence[tuple[Row, float, Divergence]]) -> list[Mark]:
    axes.set_title("Tokens with the same likeliest next one")
    axes.set_ylabel("%, with 95 % interval")
    marks = []
    for row, bits, found in points:
        same = found.same_top
        low, high = (100 * (same.value if end is None else end) for end in (same.low, same.high))
        marks.append(_point(axes, row, Mark(row.variant, bits, 100 * same.value, low, high)))
    return marks


def _point(axes: Axes, row: Row, mark: Mark) -> Mark:
    axes.plot([mark.x, mark.x], [mark.low, mark.high], color=row.family.colour, alpha=0.45, lw=2, zorder=1)
    axes.plot(
        mark.x, mark.y, marker=row.family.marker, color=row.family.colour, ms=9, mec="white", mew=0.8, zorder=2
    )  # fmt: skip
    return mark
