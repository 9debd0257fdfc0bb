"""Divergence against bits per weight: what each bit buys where accuracy sees nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.metrics.divergence import divergence_of
from bench.report.charts.labels import NamedPoint, label, settle
from bench.report.charts.style import MUTED, WIDTH, family_legend
from bench.stats.estimates import Estimate
from bench.summary.rows import Row, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Spot:
    """A variant's bits per weight and its divergence from the base."""

    row: Row
    bits: float
    kl: Estimate
    same_top: Estimate
    floor: float


def divergence_against_bits(summary: Summary) -> Figure | None:
    """Draw mean KL with its interval, on a log axis, and the share of equal top tokens, against bits per weight."""
    from matplotlib.figure import Figure

    spots = [spot for row in summary.rows if not row.is_reference and (spot := _spot(row))]
    if not spots:
        return None
    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.set_xlabel("bits per weight, as measured")
        axes.grid(axis="y")
        axes.margins(x=0.12, y=0.12)
    points = _kl(left, spots), _same_top(right, spots)
    family_legend(figure, [spot.row for spot in spots])
    settle(figure)
    label(left, points[0])
    label(right, points[1])
    return figure


def _spot(row: Row) -> Spot | None:
    bits, kl, same_top = (row.values.get(name) for name in ("bits_per_weight", "kl_mean", "same_top_share"))
    measured = divergence_of(row.records)
    if bits is None or kl is None or same_top is None or measured is None or kl.value <= 0:
        return None
    return Spot(row, bits.value, kl, same_top, measured.rounding_floor or 0.0)


def _kl(axes: Axes, spots: Sequence[Spot]) -> list[NamedPoint]:
    axes.set_title("Mean KL to the base of the same runtime")
    axes.set_ylabel("nats per token, with 95 % interval (log scale)")
    axes.set_yscale("log")
    points = []
    for spot in spots:
        mean = spot.kl
        low = mean.low if mean.low and mean.low > 0 else mean.value
        points.append(_draw(axes, spot, mean.value, low, mean.high or mean.value))
    floor = max(spot.floor for spot in spots)
    if floor * 300 > min(spot.kl.value for spot in spots):
        axes.axhline(floor, color=MUTED, lw=1, ls=":")
        axes.annotate(
            "rounding floor", (1, floor), (-3, 3), ("axes fraction", "data"), textcoords="offset points",
            ha="right", va="bottom", color=MUTED, fontsize=11,
        )  # fmt: skip
    return points


def _same_top(axes: Axes, spots: Sequence[Spot]) -> list[NamedPoint]:
    axes.set_title("Tokens with the same likeliest next one")
    axes.set_ylabel("%, with 95 % interval")
    points = []
    for spot in spots:
        same = spot.same_top
        low, high = (100 * (same.value if end is None else end) for end in (same.low, same.high))
        points.append(_draw(axes, spot, 100 * same.value, low, high))
    return points


def _draw(axes: Axes, spot: Spot, y: float, low: float, high: float) -> NamedPoint:
    family = spot.row.family
    axes.plot([spot.bits, spot.bits], [low, high], color=family.colour, alpha=0.45, lw=2, zorder=1)
    axes.plot(spot.bits, y, marker=family.marker, color=family.colour, ms=9, mec="white", mew=0.8, zorder=2)
    return NamedPoint(spot.row.variant, spot.bits, y, low, high)
