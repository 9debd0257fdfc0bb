"""Accuracy against size: what each byte buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.metrics.chance import guesses
from bench.report.charts.labels import NamedPoint, label, settle
from bench.report.charts.style import MUTED, WIDTH, family_legend
from bench.summary.family import CONTROL
from bench.summary.pairs import pareto
from bench.summary.rows import Row, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Spot:
    """Where a variant stands: its size in MB, and its accuracy on one task with the interval, in percent."""

    row: Row
    size: float
    accuracy: float
    low: float
    high: float


def accuracy_against_size(summary: Summary) -> Figure | None:
    """Draw one panel per task: size on a log axis, accuracy with its interval, the Pareto front as a line."""
    from matplotlib.figure import Figure

    spots = {task: _spots(summary.rows, task) for task in summary.right_or_wrong}
    shown = dict([(task, mine) for task, mine in spots.items() if mine][:4])
    if not shown:
        return None
    across = min(2, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(WIDTH, 6.6 * down), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for axes, (task, mine) in zip(panels, shown.items(), strict=False):
        _panel(axes, task, mine)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    family_legend(figure, summary.rows)
    settle(figure)
    for axes, mine in zip(figure.axes, shown.values(), strict=False):
        points = [NamedPoint(spot.row.variant, spot.size, spot.accuracy, spot.low, spot.high) for spot in mine]
        label(axes, points, _front(mine))
    return figure


def _spots(rows: Sequence[Row], task: str) -> list[Spot]:
    spots = []
    for row in rows:
        size, accuracy = row.value("size_bytes"), row.values.get(f"accuracy {task}")
        if size and accuracy and accuracy.low is not None and accuracy.high is not None:
            spots.append(Spot(row, size / 1e6, 100 * accuracy.value, 100 * accuracy.low, 100 * accuracy.high))
    return spots


def _front(spots: Sequence[Spot]) -> list[tuple[float, float]]:
    return pareto([(spot.size, spot.accuracy) for spot in spots])


def _panel(axes: Axes, task: str, spots: Sequence[Spot]) -> None:
    for spot in spots:
        family, spread = spot.row.family, [[spot.accuracy - spot.low], [spot.high - spot.accuracy]]
        axes.errorbar(
            spot.size, spot.accuracy, yerr=spread, color=family.colour, alpha=0.45, lw=1.6, capsize=3, zorder=2
        )  # fmt: skip
        # A control often lies exactly on its twin: larger and below, it still shows.
        ms, level = (14, 3) if family is CONTROL else (9, 4)
        axes.plot(
            spot.size, spot.accuracy, marker=family.marker, ms=ms, color=family.colour, mec="white", mew=0.8,
            zorder=level,
        )  # fmt: skip
    axes.plot(*zip(*_front(spots), strict=True), color=MUTED, lw=1.4, ls=(0, (5, 3)), zorder=1)
    answers = [spot.row.answers[task] for spot in spots]
    if guess := guesses(answers[0]):
        _guessing(axes, 100 * max(guess))
    counts = sorted({len(one.question) for one in answers})
    axes.set_title(f"{task}: right answers against size (n = {' or '.join(f'{n:,}' for n in counts)})")
    axes.set_ylabel("right answers, %, with 95 % interval")
    _size_axis(axes, [spot.size for spot in spots])
    low, high = axes.get_ylim()
    room = 0.15 * (high - low)
    axes.set_ylim(max(-2, low - room), min(104, high + room))
    axes.grid(axis="y")


def _guessing(axes: Axes, chance: float) -> None:
    """Draw the line of guessing, or say that it lies below where it would leave the points a sliver of the axis."""
    low, high = axes.get_ylim()
    if low - chance > high - low:
        where, text = (0.01, 0.015), f"axis cut: guessing gives {chance:.0f} %"
        axes.annotate(text, where, xycoords="axes fraction", ha="left", va="bottom", color=MUTED, fontsize=11)
        return
    axes.axhline(chance, color=MUTED, lw=1, ls=":")
    axes.annotate(
        "guessing", (0, chance), (3, -14), ("axes fraction", "data"), textcoords="offset points",
        ha="left", va="top", color=MUTED, fontsize=11,
    )  # fmt: skip


def _size_axis(axes: Axes, sizes: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    scale, unit = (1000, "GB") if min(sizes) >= 1000 else (1, "MB")
    axes.set_xscale("log")
    low, high = min(sizes) / 1.35, max(sizes) * 1.5
    axes.set_xlim(low, high)
    ladder = [m * 10.0**e for e in range(-3, 8) for m in ((1, 1.5, 2, 3, 4, 5, 6, 8) if high / low < 12 else (1, 2, 5))]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ladder if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g}"))
    axes.set_xlabel(f"size on disk, {unit} (log scale); dashed: Pareto front of these points")
