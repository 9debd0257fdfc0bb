"""The look that all charts share: same colours, same bytes for the same records."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bench.summary.family import FAMILIES
from bench.summary.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1a1a1a", "#5c5c5c", "#dddddd"
# Verdana is as wide as DejaVu Sans, which the layout is computed with: text fits where DejaVu is not installed.
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Geneva", "sans-serif"],
    "font.size": 12,
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 12,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 12,
    "svg.fonttype": "none",
    "figure.dpi": 72,
}
WIDTH = 13.5  # inches: 12 points of the chart are about 20 pixels where it is shown 1600 pixels wide


def chart(name: str, maker: Callable[[], Figure | None]) -> str:
    """Draw one chart in the style of all; returns an SVG document, empty where there is nothing to draw."""
    import matplotlib

    style: Any = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style):
        figure = maker()
        if figure is None:
            return ""
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def family_legend(figure: Figure, rows: Sequence[Row]) -> None:
    """Put the families that occur in one line at the foot of a figure."""
    from matplotlib.lines import Line2D

    shown = [family for family in FAMILIES if any(row.family is family for row in rows)]
    handles = [Line2D([], [], ls="", marker=f.marker, color=f.colour, markersize=9, label=f.name) for f in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.2)
