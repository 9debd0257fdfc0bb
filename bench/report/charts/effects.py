"""What changed between two sweeps: a panel per metric, every variant's change with its interval beside the limit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.compare.verdict import Verdict, VerdictLine
from bench.report.charts.style import INK, MUTED, WIDTH, chart
from bench.report.metric_words import in_words
from bench.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Mapping[Verdict, str] = {"worse": "#b3261e", "better": "#2b7a4b", "same": "#0072B2"}
MARKERS: Mapping[Verdict, str] = {"worse": "X", "better": "D", "same": "o"}
COLUMNS = 3
ROW, HEAD = 0.3, 1.15  # inches


def effects_chart(lines: Sequence[VerdictLine]) -> str:
    """Draw every line whose change is a finite number of percent or points; returns SVG, empty where none has one."""
    panels: dict[str, list[VerdictLine]] = {}
    for line in lines:
        numbers = [end for end in (line.change, line.low, line.high) if end is not None]
        if line.change is not None and line.scale in ("ratio", "points") and all(map(math.isfinite, numbers)):
            panels.setdefault(line.metric, []).append(line)
    return chart("effects", lambda: _figure(panels) if panels else None)


def _figure(panels: Mapping[str, Sequence[VerdictLine]]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    variants = list(dict.fromkeys(line.variant for lines in panels.values() for line in lines))
    figure = Figure(figsize=(WIDTH, 1.3 + rows * (HEAD + ROW * len(variants))), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for one, (metric, lines) in zip(axes, panels.items(), strict=False):
        _panel(one, metric, lines, variants)
    for one in axes[len(panels) :]:
        one.remove()
    axes[0].set_ylim(len(variants) - 0.4, -0.6)
    figure.suptitle(
        "head compared with base: mark the change, bar its 95 % interval, grey what does not matter in practice",
        x=0.01,
        ha="left",
        fontsize=13,
    )
    marks = {str(name): (COLOURS[name], MARKERS[name]) for name in COLOURS} | {"undecided": (MUTED, "s")}
    handles = [
        Line2D([], [], ls="", color=colour, marker=marker, ms=8, label=name) for name, (colour, marker) in marks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.2)
    return figure


def _panel(axes: Axes, metric: str, lines: Sequence[VerdictLine], variants: Sequence[str]) -> None:
    points = lines[0].scale == "points"
    limit = 100 * lines[0].limit
    axes.set_title(printable(in_words(metric)), fontsize=12)
    axes.set_xlabel("points" if points else "%")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(range(len(variants)), list(map(printable, variants)))
    axes.axvspan(
        -limit if points else 100 * (1 / (1 + limit / 100) - 1), limit, color="#dddddd", alpha=0.6, lw=0, zorder=0
    )
    axes.axvline(0, color=INK, lw=0.8, zorder=1)
    widest = limit or 1.0
    for line in lines:
        y = variants.index(line.variant)
        at, low, high = (
            None if end is None else 100 * end if points else 100 * (end - 1)
            for end in (line.change, line.low, line.high)
        )
        assert at is not None
        colour = COLOURS.get(line.verdict, MUTED)
        if low is not None and high is not None:
            axes.plot([low, high], [y, y], color=colour, lw=5, alpha=0.35, solid_capstyle="butt", zorder=2)
        axes.plot(
            at, y, ls="", marker=MARKERS.get(line.verdict, "s"), color=colour, ms=7, mec="white", mew=0.6, zorder=3
        )
        widest = max(widest, *(abs(end) for end in (at, low, high) if end is not None))
    axes.set_xlim(-1.1 * widest, 1.1 * widest)
