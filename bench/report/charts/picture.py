"""Draw one panel and save it as everything that a chart is: for a page, a phone, a slide, and as its numbers."""

from __future__ import annotations

import csv
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.report.charts.chart import Chart
from bench.report.charts.style import BAND, GRID, INK, MUTED, PAPER, STYLE, open_matplotlib
from bench.report.table_csv import inert
from bench.summary.family import QUANTIZED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Size:
    """The size of a panel in CSS pixels; a narrow one has room for few names."""

    width: int
    height: int
    narrow: bool = False


@dataclass(frozen=True)
class Finding:
    """What a chart says in words, and the numbers that it draws: `lines` are the cells of `header`."""

    name: str
    title: str
    subtitle: str
    alt: str
    header: Sequence[str]
    lines: Sequence[Sequence[object]]


Draw = Callable[["Axes", Size], None]
WIDE, NARROW = Size(640, 360), Size(390, 440, narrow=True)
SLIDE = Size(800, 450)
"""The wide panel with its heading above: 16:9 again."""
SCALE = 1600 / SLIDE.width
TITLES, SUBTITLES = ((19, 61), (15, 77)), ((12, 104), (10, 126))
"""Font sizes of the heading with the letters that a line has room for, the smaller one where two lines are too few.

On a slide of 1600 pixels the smallest, 10, is 20.
"""
DARK: Mapping[str, tuple[str, str]] = {
    INK: ("ink", "#e6e6e6"),
    MUTED: ("muted", "#a6a6a6"),
    GRID: ("grid", "#3c4043"),
    BAND: ("band", "#1f3a2d"),
    PAPER: ("paper", "#16181b"),
    QUANTIZED.colour.lower(): ("blue", "#56b4e9"),
}
"""The colours that a dark page needs in another shade: the name of the CSS variable, and that shade."""
PANEL: dict[str, Any] = {
    **STYLE,
    "font.size": 14,
    "axes.labelsize": 14,
    "axes.titlesize": 14,
    "axes.titleweight": "normal",
    "axes.titlecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.left": False,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "ytick.major.size": 0,
}


def chart(finding: Finding, draw: Draw) -> Chart:
    """Draw a panel once wide and once narrow, and save it in every form; the same numbers give the same bytes."""
    open_matplotlib()
    import matplotlib

    style: Any = {**PANEL, "svg.hashsalt": finding.name}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes in the PNG; in the SVG it is text, and whole.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        wide, narrow = _drawn(draw, WIDE), _drawn(draw, NARROW)
        panels = [_for_a_page(_svg(figure)) for figure in (wide, narrow)]
        extent = _with_heading(wide, finding)
        slide = _svg(wide, bbox_inches=extent)
        png = io.BytesIO()
        wide.savefig(png, format="png", dpi=72 * SCALE, bbox_inches=extent, metadata={"Software": None})
    return Chart(
        name=finding.name,
        title=plain(finding.title),
        subtitle=plain(finding.subtitle),
        alt=plain(finding.alt),
        wide=panels[0],
        narrow=panels[1],
        slide=slide,
        png=png.getvalue(),
        csv=_csv(finding),
    )


def plain(text: str) -> str:
    """Return a text from data as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shortened(name: str, length: int = 24) -> str:
    """Return a name from data as it stands in a chart: printable, and no longer than this."""
    name = plain(name)
    return name if len(name) <= length else f"{name[: length - 1]}…"


def in_rounds(values: Sequence[float]) -> str:
    """Return the values of several rounds as one cell."""
    return " ".join(f"{value:.6g}" for value in values)


def frame(axes: Axes, left: float, right: float, top: float, bottom: float) -> None:
    """Leave margins of so many pixels around the axes."""
    width, height = (72 * inches for inches in axes.figure.get_size_inches())  # type: ignore[union-attr]
    axes.set_position((left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height))


def widest(axes: Axes, texts: Sequence[str], size: float) -> float:
    """Return how many pixels the widest of these texts takes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(axes.figure).get_renderer()  # type: ignore[arg-type,no-untyped-call]
    written = [axes.text(0, 0, text, fontsize=size) for text in texts]
    widths = [text.get_window_extent(renderer).width for text in written]
    for text in written:
        text.remove()
    return max(widths, default=0.0)


def _drawn(draw: Draw, size: Size) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size.width / 72, size.height / 72), facecolor=PAPER)
    draw(figure.add_subplot(), size)
    return figure


def _with_heading(figure: Figure, finding: Finding) -> Any:
    """Write title and subtitle above a wide panel; return the extent that has both, in inches."""
    from matplotlib.transforms import Bbox

    side, above = (SLIDE.width - WIDE.width) / 2, SLIDE.height - WIDE.height
    left, top = (36 - side) / WIDE.width, 1 + (above - 12) / WIDE.height
    title, size = _wrapped(finding.title, TITLES)
    heading: dict[str, Any] = {"va": "top", "linespacing": 1.15}
    figure.text(left, top, "\n".join(title), fontsize=size, weight="bold", color=INK, **heading)
    below = top - (1.22 * size * len(title) + 5) / WIDE.height
    subtitle, size = _wrapped(finding.subtitle, SUBTITLES)
    figure.text(left, below, "\n".join(subtitle), fontsize=size, color=MUTED, **heading)
    return Bbox.from_extents(-side / 72, 0, (WIDE.width + side) / 72, SLIDE.height / 72)


def _wrapped(text: str, sizes: Sequence[tuple[int, int]]) -> tuple[list[str], int]:
    """Return a text in at most two lines, and the largest font size in which it fits; at the smallest it is cut."""
    for size, letters in sizes:
        lines = textwrap.wrap(_together(text), letters)
        if len(lines) <= 2:
            return lines, size
    return textwrap.wrap(_together(text), letters, max_lines=2, placeholder=" …"), size


def _together(text: str) -> str:
    """Return a text in which no line ends between a number and its unit."""
    return re.sub(r"(?<=\d) (?=[^\s\w]|[kMGT]?B\b|ms\b)", "\N{NO-BREAK SPACE}", plain(text))


def _svg(figure: Figure, **how: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")), **how)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _for_a_page(svg: str) -> str:
    """Have the colours follow the scheme of the page."""
    for colour, (name, _) in DARK.items():
        svg = svg.replace(colour, f"var(--chart-{name})")
    light, dark = (
        "".join(f"--chart-{name}:{shade};" for name, shade in shades)
        for shades in (
            [(name, colour) for colour, (name, _) in DARK.items()],
            list(DARK.values()),
        )
    )
    look = f".chart-drawing{{{light}}}@media screen and (prefers-color-scheme:dark){{.chart-drawing{{{dark}}}}}"
    head, _, body = svg.partition('<g id="figure_1">')
    return f'{head}<style>{look}</style>\n <g id="figure_1" class="chart-drawing">{body}'


def _csv(finding: Finding) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(inert, finding.header))
    writer.writerows(map(_cell, line) for line in finding.lines)
    return out.getvalue()


def _cell(value: object) -> object:
    """Return a cell: numbers with six digits, nothing where there is none."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else inert(value)
