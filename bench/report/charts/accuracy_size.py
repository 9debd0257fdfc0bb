"""Accuracy against size: what each byte buys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.report.charts import MUTED, WIDTH, family_legend
from bench.report.charts.labels import Mark, label, settle
from bench.summary.family import CONTROL
from bench.summary.rows import Row, tasks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def accuracy_against_size(rows: Sequence[Row]) -> Figure | None:
    """Draw one panel per task: size on a log axis, accuracy with its interval, the Pareto front as a line."""
    from matplotlib.figure import Figure

    tasks = [task for task in tasks_of(rows) if _points(rows, task)][:4]
    if not tasks:
        return None
    across = min(2, len(tasks))
    down = -(-len(tasks) // across)
    figure = Figure(figsize=(WIDTH, 6.6 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flat
    for axes, task in zip(panels, tasks, strict=False):
        _panel(axes, rows, task)
    for axes in list(panels)[len(tasks) :]:
        axes.set_axis_off()
    family_legend(figure, rows)
    settle(figure)
    for axes, task in zip(figure.axes, tasks, strict=False):
        _label(axes, rows, task)
    return figure


def _points(rows: Sequence[Row], task: str) -> list[tuple[Row, float, float]]:
    return [
        (r, r.size_bytes / 1e6, 100 * r.accuracy[task].share.value) for r in rows if r.size_bytes and task in r.accuracy
    ]


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other beats in being small (first) and being right (second), by size."""
    front: list[tuple[float, float]] = []
    for size, right in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or right > front[-1][1]:
            front.append((size, right))
    return front


def _panel(axes: Axes, rows: Sequence[Row], task: str) -> None:
    points = _points(rows, task)
    for row, size, right in points:
        share = row.accuracy[task].share
        spread = [[right - 100 * share.low], [100 * share.high - right]]
        axes.errorbar(size, right, yerr=spread, color=row.family.colour, alpha=0.45, lw=1.6, capsize=3, zorder=2)
        # A control often lies exactly on its twin: larger and below, it still shows.
        ms, level = (14, 3) if row.family is CONTROL else (9, 4)
        marker, colour = row.family.marker, row.family.colour
        axes.plot(size, right, marker=marker, ms=ms, color=colour, mec="white", mew=0.8, zorder=level)
    front = pareto([(size, right) for _, size, right in points])
    axes.plot(*zip(*front, strict=True), color=MUTED, lw=1.4, ls=(0, (5, 3)), zorder=1)
    chance = points[0][0].accuracy[task].chance
    if chance is not None:
        _guessing(axes, 100 * chance)
    counts = sorted({row.accuracy[task].n for row, _, _ in points})
    axes.set_title(f"{task}: right answers against size (n = {' or '.join(f'{n:,}' for n in counts)})")
    axes.set_ylabel("right answers, %, with 95 % interval")
    _size_axis(axes, [size for _, size, _ in points])
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


def _label(axes: Axes, rows: Sequence[Row], task: str) -> None:
    points = _points(rows, task)
    marks = []
    for row, size, right in points:
        share = row.accuracy[task].share
        marks.append(Mark(row.variant, size, right, 100 * share.low, 100 * share.high))
    label(axes, marks, pareto([(size, right) for _, size, right in points]))
