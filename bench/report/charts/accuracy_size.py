"""Accuracy against size: what each byte buys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING

from bench.report.charts import INK, MUTED, WIDTH, family_legend
from bench.report.family import CONTROL
from bench.report.grids import tasks_of
from bench.report.table import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]


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
    figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
    figure.set_layout_engine("none")  # labels are placed in final coordinates
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
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = axes.figure
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[arg-type,no-untyped-call]
    frame = axes.get_window_extent(renderer)
    placed: list[Box] = []
    marks: list[tuple[Row, float, float]] = []
    for row, size, right in _points(rows, task):
        x, y = axes.transData.transform((size, right))
        placed.append((x - 7, y - 7, x + 7, y + 7))
        share = row.accuracy[task].share
        ends = [axes.transData.transform((size, 100 * end))[1] for end in (share.low, share.high)]
        placed.append((x - 2, ends[0], x + 2, ends[1]))
        marks.append((row, x, y))
    front = pareto([(size, right) for _, size, right in _points(rows, task)])
    placed += _along([tuple(axes.transData.transform(point)) for point in front])
    bounds = (frame.x0, frame.y0, frame.x1, frame.y1)
    for row, x, y in sorted(marks, key=lambda mark: (-mark[2], mark[1])):
        text = axes.annotate(row.variant, (x, y), xycoords="figure pixels", fontsize=11.5, color=INK, zorder=5)
        extent = text.get_window_extent(renderer)
        text.remove()
        box = place((x, y), (extent.width, extent.height), placed, bounds)
        placed.append(box)
        far = not (box[0] - 12 <= x <= box[2] + 12 and box[1] - 4 <= y <= box[3] + 4)
        axes.annotate(
            row.variant, (x, y), ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), "figure pixels", "figure pixels",
            ha="center", va="center", fontsize=11.5, color=INK, zorder=5,
            arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.8, "shrinkA": 1, "shrinkB": 5} if far else None,
        )  # fmt: skip


def _along(corners: Sequence[tuple[float, float]]) -> list[Box]:
    boxes = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        steps = max(1, int(max(abs(x1 - x0), abs(y1 - y0)) / 5))
        for i in range(steps):
            x, y = x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps
            boxes.append((x - 2, y - 2, x + 2, y + 2))
    return boxes


def place(at: tuple[float, float], size: tuple[float, float], taken: Sequence[Box], frame: Box) -> Box:
    """Return the box for a label nearest to its point that covers least, nor its leader line (pixels)."""
    width, height = size
    candidates = []
    for gap, (dx, dy) in product(
        (10, 20, 32, 46, 62, 80, 100),
        ((1, 0), (-1, 0), (0.8, 0.7), (0.8, -0.7), (-0.8, 0.7), (-0.8, -0.7), (0, 1), (0, -1)),
    ):
        x = at[0] + dx * (gap + width / 2)
        y = at[1] + dy * (gap + height / 2)
        box = (x - width / 2 - 1, y - height / 2, x + width / 2 + 1, y + height / 2)
        outside = box[0] < frame[0] or box[1] < frame[1] or box[2] > frame[2] or box[3] > frame[3]
        candidates.append((1e6 * outside + 3 * sum(_overlap(box, other) for other in taken) + gap, box))
    others = [box for box in taken if not (box[0] <= at[0] <= box[2] and box[1] <= at[1] <= box[3])]
    best = 1e9, candidates[0][1]
    for cost, box in sorted(candidates):
        if cost >= best[0]:
            break
        leader = _along([at, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)])
        best = min(best, (cost + 4 * sum(_overlap(a, b) > 0 for a in leader for b in others), box))
    return best[1]


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
