"""Names beside points, placed where they cover least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

from bench.report.charts.style import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class NamedPoint:
    """A point with its name and the ends of its interval, in the coordinates of the data."""

    text: str
    x: float
    y: float
    low: float
    high: float


def settle(figure: Figure) -> None:
    """Lay a figure out and freeze the layout: labels are placed in final coordinates."""
    figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
    figure.set_layout_engine("none")


def label(axes: Axes, points: Sequence[NamedPoint], line: Sequence[tuple[float, float]] = ()) -> None:
    """Name the points of a settled figure; labels keep off each other, the points, their intervals and the line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(axes.figure).get_renderer()  # type: ignore[arg-type,no-untyped-call]
    frame = axes.get_window_extent(renderer)
    placed: list[Box] = []
    at: list[tuple[str, float, float]] = []
    for point in points:
        x, y = axes.transData.transform((point.x, point.y))
        placed.append((x - 7, y - 7, x + 7, y + 7))
        ends = [axes.transData.transform((point.x, end))[1] for end in (point.low, point.high)]
        placed.append((x - 2, ends[0], x + 2, ends[1]))
        at.append((point.text, x, y))
    placed += _along([tuple(axes.transData.transform(corner)) for corner in line])
    bounds = (frame.x0, frame.y0, frame.x1, frame.y1)
    for name, x, y in sorted(at, key=lambda named: (-named[2], named[1])):
        text = axes.annotate(name, (x, y), xycoords="figure pixels", fontsize=11.5, color=INK, zorder=5)
        extent = text.get_window_extent(renderer)
        text.remove()
        box = place((x, y), (extent.width, extent.height), placed, bounds)
        placed.append(box)
        far = not (box[0] - 12 <= x <= box[2] + 12 and box[1] - 4 <= y <= box[3] + 4)
        axes.annotate(
            name, (x, y), ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), "figure pixels", "figure pixels",
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
