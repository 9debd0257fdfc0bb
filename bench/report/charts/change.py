"""What a variant gained on one task and lost on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.report.charts.style import INK, MUTED, WIDTH, family_legend
from bench.report.numbers import points, points_span
from bench.summary.rows import Row, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def change_of_accuracy(summary: Summary) -> Figure | None:
    """Draw a panel per task: a line per variant from the base of its runtime (ring) to itself (filled marker)."""
    from matplotlib.figure import Figure

    tasks = summary.right_or_wrong[:2]
    shown = [row for row in summary.rows if any(row.paired(f"accuracy {task}") for task in tasks)]
    if not shown:
        return None
    figure = Figure(figsize=(WIDTH, 2.0 + 0.38 * len(shown)), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        _panel(axes, summary, shown, task)
    panels[0].set_yticks(range(len(shown)), [row.variant for row in shown])
    panels[0].set_ylim(len(shown) - 0.4, -0.6)
    figure.suptitle(
        "From the base of the same runtime (ring) to the variant (filled); "
        "at the side percentage points, with a paired 95 % interval",
        x=0.01, ha="left", fontsize=13,
    )  # fmt: skip
    family_legend(figure, shown)
    return figure


def _panel(axes: Axes, summary: Summary, shown: Sequence[Row], task: str) -> None:
    name = f"accuracy {task}"
    n = next((row.values[name].n for row in shown if name in row.values), 0)
    axes.set_title(f"{task}, n = {n:,}")
    axes.set_xlabel("right answers, %")
    axes.set_xlim(0, 100)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 11}
    for y, row in enumerate(shown):
        paired = row.paired(name)
        if paired is None or row.reference is None:
            axes.annotate("not measured", (1.02, y), color=MUTED, annotation_clip=False, **beside)
            continue
        before, after = (100 * one.values[name].value for one in (summary.by_name[row.reference], row))
        colour = row.family.colour
        axes.plot([before, after], [y, y], color=colour, lw=2.2, alpha=0.6, zorder=1)
        axes.plot(before, y, "o", color=MUTED, mfc="white", ms=7, mew=1.5, zorder=2)
        axes.plot(after, y, marker=row.family.marker, color=colour, ms=9, mec="white", mew=0.8, zorder=3)
        text = f"{points(paired.difference)} ({points_span(paired)})"
        axes.annotate(text, (1.02, y), color=INK, annotation_clip=False, **beside)
