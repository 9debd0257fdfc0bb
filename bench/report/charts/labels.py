"""Names beside marks, placed where they cover least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.report.charts.style import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]
"""Left, bottom, right, top in pixels."""
Boxes = NDArray[np.float64]
"""One of these a line."""


@dataclass(frozen=True)
class Label:
    """A text and the marks that it names, in the coordinates of the data."""

    text: str
    marks: Sequence[tuple[float, float]]
    size: float = 13
    bold: bool = False


def mark_box(axes: Axes, x: float, y: float, radius: float) -> Box:
    """Return what a mark covers."""
    px, py = axes.transData.transform((x, y))
    return px - radius, py - radius, px + radius, py + radius


def line_boxes(axes: Axes, corners: Sequence[tuple[float, float]]) -> list[Box]:
    """Return what a line covers, as small boxes along it."""
    return _along([tuple(axes.transData.transform(corner)) for corner in corners])


def label(axes: Axes, labels: Sequence[Label], taken: Sequence[Box]) -> list[Box]:
    """Write the labels, the first ones where they like; return what they cover.

    Axes, limits and margins must be final. Labels keep off each other and off what is `taken`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(axes.figure).get_renderer()  # type: ignore[arg-type,no-untyped-call]
    window = axes.get_window_extent(renderer)
    frame = (window.x0, window.y0, window.x1, window.y1)
    placed: list[Box] = []
    for one in labels:
        weight = "bold" if one.bold else "normal"
        how: dict[str, Any] = {"fontsize": one.size, "color": INK, "zorder": 6, "weight": weight, "linespacing": 1.1}
        text = axes.text(*one.marks[0], one.text, **how)
        extent = text.get_window_extent(renderer)
        text.remove()
        marks = [tuple(axes.transData.transform(mark)) for mark in one.marks]
        box = place(_middle(marks), (extent.width, extent.height), [*taken, *placed], frame)
        placed.append(box)
        center = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        nearest = min(range(len(marks)), key=lambda i: _distance(marks[i], box))
        near = marks[nearest]
        leader = {"arrowstyle": "-", "color": MUTED, "lw": 0.9, "shrinkA": 1, "shrinkB": 7}
        # A line to one of many would single it out, unless the text is far from all of them.
        far = _distance(near, box) > (18 if len(marks) < 3 else 60)
        # Counted from the mark and in points, a place is the same in a picture of any size.
        axes.annotate(
            one.text, one.marks[nearest], (center[0] - near[0], center[1] - near[1]), textcoords="offset points",
            ha="center", va="center", arrowprops=leader if far else None, **how,
        )  # fmt: skip
    return placed


ALONG = ((1.0, "right"), (0.0, "left"), (0.75, "center"), (0.5, "center"), (0.25, "center"))
"""Where on a line its text may stand, in shares of the line, the best place first."""


def note(axes: Axes, text: str, at: tuple[float, float], taken: Sequence[Box], colour: str) -> list[Box]:
    """Write what a horizontal line or band is, above its upper or below its lower edge, where it covers least.

    `at` has the upper and the lower edge. Returns what the text covers.
    """
    window = axes.get_window_extent()
    written = []
    for (x, align), is_above in product(ALONG, (True, False)):
        shift = {"right": -4, "left": 4, "center": 0}[align], 3 if is_above else -3
        one = axes.annotate(
            text, (x, at[0] if is_above else at[1]), shift, ("axes fraction", "data"), textcoords="offset points",
            ha=align, va="bottom" if is_above else "top", fontsize=13, color=colour,
        )  # fmt: skip
        extent = one.get_window_extent()
        written.append((one, (extent.x0, extent.y0, extent.x1, extent.y1)))
    boxes = np.array([box for _, box in written])
    inside = overlaps(boxes, np.array([(window.x0, window.y0, window.x1, window.y1)]))[:, 0]
    covered = overlaps(boxes, np.array(taken).reshape(-1, 4)).sum(axis=1)
    chosen = int(np.argmin(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - inside + covered))
    for place, (one, _) in enumerate(written):
        if place != chosen:
            one.remove()
    return [written[chosen][1]]


def _middle(marks: Sequence[tuple[float, float]]) -> tuple[float, float]:
    xs, ys = zip(*marks, strict=True)
    return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2


def _distance(mark: tuple[float, float], box: Box) -> float:
    across = max(box[0] - mark[0], 0.0, mark[0] - box[2])
    return max(across, box[1] - mark[1], mark[1] - box[3])


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
    boxes = np.array(taken, dtype=float).reshape(-1, 4)
    candidates, gaps = _candidates(at, size, frame)
    costs = 3 * overlaps(candidates, boxes).sum(axis=1) + gaps
    others = boxes[~((boxes[:, 0] <= at[0]) & (at[0] <= boxes[:, 2]) & (boxes[:, 1] <= at[1]) & (at[1] <= boxes[:, 3]))]
    best, chosen = math.inf, candidates[0]
    for i in np.argsort(costs, kind="stable"):
        if costs[i] >= best:
            break
        box = candidates[i]
        leader = np.array(_along([at, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)]))
        cost = costs[i] + 20 * np.count_nonzero(overlaps(leader, others))
        if cost < best:
            best, chosen = cost, box
    return float(chosen[0]), float(chosen[1]), float(chosen[2]), float(chosen[3])


def _candidates(at: tuple[float, float], size: tuple[float, float], frame: Box) -> tuple[Boxes, NDArray[np.float64]]:
    """Return boxes around a point, the nearest first, and their distance to it."""
    width, height = size
    ways = product(
        (10, 20, 32, 46, 62, 80, 100, 130),
        ((0, 1), (0, -1), (1, 0), (-1, 0), (0.8, 0.7), (0.8, -0.7), (-0.8, 0.7), (-0.8, -0.7)),
    )
    gap, way = (np.array(column, dtype=float) for column in zip(*ways, strict=True))
    # At the edge a label moves in rather than being cut.
    x = np.clip(at[0] + way[:, 0] * (gap + width / 2), frame[0] + width / 2 + 2, frame[2] - width / 2 - 2)
    y = np.clip(at[1] + way[:, 1] * (gap + height / 2), frame[1] + height / 2 + 1, frame[3] - height / 2 - 1)
    return np.stack([x - width / 2 - 1, y - height / 2, x + width / 2 + 1, y + height / 2], axis=1), gap


def overlaps(some: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return how many square pixels each of some boxes shares with each of others."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=2))
