"""One metric over the commits of a branch: a panel per variant, with change points; or one series in a table's cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from bench.history.series import BranchCommit, Series
from bench.metrics.metric import Unit
from bench.report.charts.style import INK, MUTED, WIDTH, chart
from bench.terminal import printable

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE, WORSE, BETTER = "#0072B2", "#b3261e", "#2b7a4b"
COLUMNS = 2
PANEL, HEAD, FOOT = 1.75, 0.75, 0.85  # inches
MARKED = 120
"""Above so many points a mark each would hide the line."""
LABELLED = 12
"""So many releases have room for their names under one panel."""
SCALES: Mapping[Unit, tuple[float, str]] = {"byte": (1e-6, "MB"), "share": (100.0, "%"), "1": (1.0, "")}
"""The units that are drawn in another one: a factor, and its name."""
SPARK, EDGE = (120, 22), 2.5  # pixels
SPARK_POINTS = 60
"""So many points have room in a cell: of more, each is the median of some neighbours."""


def history_chart(
    name: str, series: Sequence[Series], commits: Sequence[BranchCommit], failures: Mapping[str, Sequence[BranchCommit]]
) -> str:
    """Draw all series of one metric; returns an SVG document."""
    return chart(name, lambda: _figure(series, commits, failures))


def _figure(
    series: Sequence[Series], commits: Sequence[BranchCommit], failures: Mapping[str, Sequence[BranchCommit]]
) -> Figure:
    from matplotlib.figure import Figure

    rows = -(-len(series) // COLUMNS)
    height = HEAD + FOOT + PANEL * rows
    figure = Figure(figsize=(WIDTH, height))
    figure.subplots_adjust(
        left=0.075, right=0.99, top=1 - HEAD / height, bottom=FOOT / height, hspace=0.42, wspace=0.17
    )  # by hand: to compute a layout of so many panels takes longer than to draw them
    panels = list(figure.subplots(rows, COLUMNS, sharex=True, squeeze=False).flat)
    metric = series[0].metric
    for axes, one in zip(panels, series, strict=False):
        _panel(axes, one, failures.get(one.variant, ()))
        _releases(axes, commits)
    lowest = max(0, len(series) - COLUMNS)
    for axes in panels[:lowest]:
        axes.xaxis.set_visible(False)
    for axes in panels[lowest : len(series)]:
        axes.tick_params(axis="x", labelbottom=True)
        axes.set_xlabel("commits in git's order, releases by name")
    for axes in panels[len(series) :]:
        axes.remove()
    _, unit = SCALES.get(metric.unit, (1.0, metric.unit))
    title = f"{printable(metric.title)}{unit and f', {unit}'}: value of each commit"
    bars = ", bar: its 95 % interval where n gives both ends" if metric.unit != "byte" else ""
    figure.suptitle(title + bars, x=0.01, y=1 - 0.1 / height, ha="left", va="top", fontsize=13)
    return figure


def _panel(axes: Axes, series: Series, failed: Sequence[BranchCommit]) -> None:
    scale, _ = SCALES.get(series.metric.unit, (1.0, ""))
    axes.set_title(printable(series.variant), fontsize=12, pad=4, y=1.0)  # a place of its own: to search one takes long
    axes.grid(axis="y")
    axes.margins(x=0.02, y=0.15)
    axes.locator_params(axis="y", nbins=4)
    axes.ticklabel_format(axis="y", useOffset=False)
    few = len(series.points) <= MARKED
    for stretch in series.stretches:
        places = [point.commit.place for point in stretch]
        values = [scale * point.value.value for point in stretch]
        marker = "o" if few or len(stretch) == 1 else ""  # one point makes no line
        axes.plot(places, values, color=LINE, lw=1.2, marker=marker, ms=4, zorder=3)
        ends = [
            (point.commit.place, scale * point.value.low, scale * point.value.high)
            for point in stretch
            if point.value.low is not None and point.value.high is not None
        ]
        at, low, high = ([end[i] for end in ends] for i in range(3))
        if few:
            axes.vlines(at, low, high, color=LINE, alpha=0.3, lw=4, zorder=2)
        else:
            axes.fill_between(at, low, high, color=LINE, alpha=0.22, lw=0, zorder=2)
    for before, after in pairwise(series.stretches):
        axes.axvline((before[-1].commit.place + after[0].commit.place) / 2, color=MUTED, ls=":", lw=1.6, zorder=1)
    for change in series.changes:
        colour = {"better": BETTER, "worse": WORSE, "changed": MUTED}[change.verdict]
        left, right = change.before.commit.place, change.after.commit.place
        axes.axvspan(left, right, color=colour, alpha=0.18, lw=0, zorder=0)
        axes.axvline((left + right) / 2, color=colour, lw=1.4, zorder=1)
    if failed:
        places = [commit.place for commit in failed]
        axes.plot(
            places,
            [0.03] * len(places),
            "x",
            color=WORSE,
            ms=6,
            mew=1.6,
            transform=axes.get_xaxis_transform(),
            zorder=4,
        )


def _releases(axes: Axes, commits: Sequence[BranchCommit]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator

    tagged = [commit for commit in commits if commit.tags] or [commits[0], commits[-1]]
    places = [commit.place for commit in tagged]
    axes.vlines(places, 0, 1, color=MUTED, lw=0.6, alpha=0.5, zorder=0, transform=axes.get_xaxis_transform())
    step = -(-len(tagged) // LABELLED) or 1
    shown = tagged[::-1][::step]  # the newest always has its name
    axes.xaxis.set_major_locator(FixedLocator([commit.place for commit in shown]))
    axes.xaxis.set_major_formatter(
        FixedFormatter([printable(commit.tags[0]) if commit.tags else commit.sha[:8] for commit in shown])
    )
    axes.tick_params(axis="x", labelsize=10, labelcolor=INK)


def sparkline(series: Series) -> Markup:
    """Draw a series as a small SVG, a line per stretch, a dot where a stretch has one point.

    It has no words: the next cells of its row name its newest, lowest and highest value.
    """
    from markupsafe import Markup

    values = [point.value.value for point in series.points]
    places = [point.commit.place for point in series.points]
    across = _scale(min(places), max(places), EDGE, SPARK[0] - EDGE)
    up = _scale(min(values), max(values), SPARK[1] - EDGE, EDGE)
    drawn = []
    for stretch in series.stretches:
        at = [
            f"{across[0] + across[1] * place:.1f},{up[0] + up[1] * value:.1f}"
            for place, value in _thinned([(point.commit.place, point.value.value) for point in stretch])
        ]
        x, y = at[-1].split(",")
        drawn.append(f'<polyline points="{" ".join(at)}"/><circle cx="{x}" cy="{y}" r="2"/>')
    size = f'width="{SPARK[0]}" height="{SPARK[1]}" viewBox="0 0 {SPARK[0]} {SPARK[1]}"'
    return Markup(f'<svg class="spark" aria-hidden="true" {size}>{"".join(drawn)}</svg>')


def _scale(low: float, high: float, first: float, last: float) -> tuple[float, float]:
    """Return a and b such that a + b·low is `first` and a + b·high is `last`; where both are one, the middle."""
    if low == high:
        return (first + last) / 2, 0.0
    b = (last - first) / (high - low)
    return first - b * low, b


def _thinned(points: list[tuple[int, float]]) -> Iterator[tuple[float, float]]:
    step = -(-len(points) // SPARK_POINTS)
    for start in range(0, len(points), step):
        part = points[start : start + step]
        yield median(place for place, _ in part), median(value for _, value in part)
