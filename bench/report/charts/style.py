"""The look that all charts share: same colours, same bytes for the same records."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.summary.family import BASE, Family
from bench.terminal import warn
from variants.paths import ROOT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONTS = ROOT / ".cache" / "matplotlib"
INK, MUTED, GRID, BAND, PAPER = "#1a1a1a", "#5c5c5c", "#dddddd", "#dff0e6", "#ffffff"
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
    "text.parse_math": False,  # a $ in a name is a dollar
    "figure.dpi": 72,
}
WIDE_RANGE = 4
"""An axis is logarithmic where its largest number is more than so many times its smallest."""
WIDTH = 13.5  # inches: 12 points of the chart are about 20 pixels where it is shown 1600 pixels wide


def chart(name: str, maker: Callable[[], Figure | None]) -> str:
    """Draw one chart in the style of all; returns an SVG document, empty where there is nothing to draw."""
    open_matplotlib()
    import matplotlib

    style: Any = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style):
        figure = maker()
        if figure is None:
            return ""
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def why_not_drawn(what: str, error: Exception) -> str:
    """Return a line that says which chart could not be drawn, and why."""
    return f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def open_matplotlib() -> None:
    """Have matplotlib keep its fonts in the cache, and say so, where the user's home takes no files."""
    if os.environ.get("MPLCONFIGDIR"):
        return
    try:
        home = Path.home()
        for name, default in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache")):
            place = Path(os.environ.get(name) or home / default) / "matplotlib"
            place.mkdir(parents=True, exist_ok=True)
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, "not writable", str(place))
    except (OSError, RuntimeError) as error:  # a RuntimeError: this user has no home at all
        os.environ["MPLCONFIGDIR"] = str(FONTS)
        warn(f"matplotlib keeps its fonts in {FONTS}, MPLCONFIGDIR sets another folder: {error}")


def colour_of(family: Family) -> str:
    """Return the colour of a family: that of the ink where it is black, as on a dark page black is not to be seen."""
    return INK if family == BASE else family.colour


def is_wide(low: float, high: float) -> bool:
    """Say whether an axis over these numbers is logarithmic."""
    return low > 0 and high / low > WIDE_RANGE


def spaced(axes: Axes, which: Literal["x", "y"], low: float, high: float, room: float) -> None:
    """Set the limits of an axis of positive numbers, with this share of it free at both ends; logarithmic if wide.

    Its ticks are plain numbers, few enough to be read.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    axis, set_limits = (axes.xaxis, axes.set_xlim) if which == "x" else (axes.yaxis, axes.set_ylim)
    if not is_wide(low, high):
        free = max(room * (high - low), 0.04 * high) or 1.0
        set_limits(max(0.0, low - free) if low >= 0 else low - free, high + free)
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    else:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        free = (high / low) ** room
        ends = low / free, high * free
        set_limits(*ends)
        steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if high / low < 12 else (1, 2, 5) if high / low < 200 else (1,)
        ladder = (step * 10.0**power for power in range(-12, 13) for step in steps)
        axis.set_major_locator(FixedLocator([tick for tick in ladder if ends[0] <= tick <= ends[1]]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12f}".rstrip("0").rstrip(".")))
