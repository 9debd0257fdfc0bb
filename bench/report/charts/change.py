"""What a variant gained on one task and lost on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.metrics.accuracy import Accuracy
from bench.report.charts import INK, MUTED, WIDTH, family_legend
from bench.report.numbers import points, points_span
from bench.summary.rows import Row, by_name, tasks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def change_of_accuracy(rows: Sequence[Row]) -> Figure | None:
    """Draw a panel per task: a line per variant from the base of its runtime (ring) to itself (mark)."""
    from matplotlib.figure import Figure

    tasks = tasks_of(rows)[:2]
    shown = [row for row in rows if any(_pair(row, task) is not None for task in tasks)]
    if not shown:
        return None
    figure = Figure(figsize=(WIDTH, 2.0 + 0.38 * len(shown)), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        _panel(axes, rows, shown, task)
    panels[0].set_yticks(range(len(shown)), [row.variant for row in shown])
    panels[0].set_ylim(len(shown) - 0.4, -0.6)
    figure.suptitle(
        "From the base of the same runtime (ring) to the variant (mark); "
        "at the side percentage points, with a paired 95 % interval",
        x=0.01, ha="left", fontsize=13,
    )  # fmt: skip
    family_legend(figure, shown)
    return figure


def _pair(row: Row, task: str) -> Accuracy | None:
    found = row.accuracy.get(task)
    return found if found is not None and found.against is not None else None


def _panel(axes: Axes, rows: Sequence[Row], shown: Sequence[Row], task: str) -> None:
    known = by_name(rows)
    n = next((row.accuracy[task].n for row in shown if task in row.accuracy), 0)
    axes.set_title(f"{task}, n = {n:,}")
    axes.set_xlabel("right answers, %")
    axes.set_xlim(0, 100)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 11}
    for y, row in enumerate(shown):
        found = _pair(row, task)
        if found is None or found.against is None or row.reference is None:
            axes.annotate("not measured", (1.02, y), color=MUTED, annotation_clip=False, **beside)
            continue
        before, after = 100 * known[row.reference].accuracy[task].share.value, 100 * found.share.value
        colour = row.family.colour
        axes.plot([before, after], [y, y], color=colour, lw=2.2, alpha=0.6, zorder=1)
        axes.plot(before, y, "o", color=MUTED, mfc="white", ms=7, mew=1.5, zorder=2)
        axes.plot(after, y, marker=row.family.marker, color=colour, ms=9, mec="white", mew=0.8, zorder=3)
        text = f"{points(found.against.difference)} ({points_span(found.against)})"
        axes.annotate(text, (1.02, y), color=INK, annotation_clip=False, **beside)
