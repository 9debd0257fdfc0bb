"""How long a request takes: the percentiles of every variant of one runtime, each round beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Metric
from bench.report.charts.chart import Chart
from bench.report.charts.picture import Finding, Size, chart, frame, in_rounds, shortened, widest
from bench.report.charts.style import INK, MUTED, PAPER, colour_of, spaced
from bench.report.numbers import digits, least_to_most, plural, spread_percent
from bench.report.pages.file_names import file_part
from bench.stats.estimates import Estimate
from bench.summary.pairs import every_round_shows, ratio
from bench.summary.rows import Row, Summary, rounds_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 22
"""So many variants are drawn, the quickest first: more would have no room for their names."""


@dataclass(frozen=True)
class Line:
    """The percentiles of a variant's requests in ms, and those of each round."""

    row: Row
    p50: Estimate
    p90: Estimate
    p99: Estimate
    rounds_p50: tuple[float, ...]
    rounds_p99: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Return by what share the medians of the rounds differ."""
        return rounds_apart(self.rounds_p50)


def latency_charts(summary: Summary) -> list[Chart]:
    """Draw one chart per runtime, so that a slow runtime does not squash the others."""
    metrics = {metric.name: metric for metric in summary.metrics}
    lines = [line for row in summary.rows if (line := _line(row, metrics))]
    runtimes = list(dict.fromkeys(line.row.runtime for line in lines))
    charts = []
    for runtime in runtimes:
        mine = sorted((one for one in lines if one.row.runtime == runtime), key=lambda line: line.p50.value)
        missing = [row.variant for row in summary.rows if row.runtime == runtime and "e2e_p50_ms" not in row.values]
        name = "latency" if runtime == runtimes[0] else f"latency-{file_part(runtime)}"
        charts.append(_chart(name, runtime, mine, missing, metrics["e2e_p50_ms"]))
    return charts


def _line(row: Row, metrics: dict[str, Metric]) -> Line | None:
    p50, p90, p99 = (row.values.get(f"e2e_p{q}_ms") for q in (50, 90, 99))
    if p50 is None or p90 is None or p99 is None:
        return None
    return Line(row, p50, p90, p99, tuple(row.rounds("e2e_p50_ms")), tuple(row.rounds("e2e_p99_ms")))


def _chart(name: str, runtime: str, lines: Sequence[Line], missing: Sequence[str], metric: Metric) -> Chart:
    head = title(runtime, lines, metric)
    n = least_to_most([line.p50.n for line in lines])
    subtitle = [
        f"Service time of a request in {runtime}, closed loop, n = {n} requests a variant: filled mark P50, tick P90, "
        "ring P99, pale bar its 95 % interval; small ticks below: P50 and P99 of each round"
    ]
    if missing:
        subtitle.append(f"not measured: {', '.join(map(shortened, missing))}")
    if len(lines) > MOST:
        subtitle.append(f"the quickest {MOST} of {len(lines)}")
    first, last = lines[0], lines[-1]
    ends = [f"{one.row.variant}, {digits(one.p50.value)} and {digits(one.p99.value)}" for one in (first, last)]
    alt = f"{head}. P50 and P99 in ms: from {ends[0]}, to {ends[1]}."
    header = ["variant", "family", "runtime", "n", "p50_ms", "p90_ms", "p99_ms", "p99_ms_low", "p99_ms_high"]
    header += ["rounds_p50_ms", "rounds_p99_ms"]
    cells = [
        [line.row.variant, line.row.family.name, runtime, line.p50.n]
        + [line.p50.value, line.p90.value, line.p99.value, line.p99.low, line.p99.high]
        + [in_rounds(rounds) for rounds in (line.rounds_p50, line.rounds_p99)]
        for line in lines
    ]
    finding = Finding(name, head, "; ".join(subtitle) + ".", alt, header, cells)
    return chart(finding, lambda axes, size: _draw(axes, size, lines[:MOST]))


def title(runtime: str, lines: Sequence[Line], metric: Metric) -> str:
    """Say which medians are shown to differ, and by how much rounds of one variant differ."""
    first = lines[0]
    if len(lines) == 1:
        return f"Half of the requests to {first.row.variant} take at most {digits(first.p50.value)} ms in {runtime}"
    if max(len(line.rounds_p50) for line in lines) < 2:
        return f"One round in {runtime}: which variant is faster is not shown"
    spread = f"rounds of one variant differ by up to {spread_percent(max(line.spread for line in lines))}"
    if all(_faster(metric, first, other) for other in lines[1:]):
        return f"{first.row.variant} is shown to be the fastest in {runtime}; {spread}"
    base = next((line for line in lines if line.row.is_reference), None)
    if base is None:
        return f"No variant is shown to be the fastest in {runtime}; {spread}"
    others = [line for line in lines if line is not base]
    faster = sum(_faster(metric, line, base) for line in others)
    slower = sum(_faster(metric, base, line) for line in others)
    if not faster and not slower:
        return f"No variant is shown to be faster or slower than {base.row.variant} in {runtime}; {spread}"
    ways = [(count, way) for count, way in ((faster, "faster"), (slower, "slower")) if count]
    (count, way), rest = ways[0], "".join(f", {count} {way}" for count, way in ways[1:])
    return (
        f"{count} of {plural(len(others), 'variant')} in {runtime} {'is' if count == 1 else 'are'} shown to be {way} "
        f"than {base.row.variant}{rest}; {spread}"
    )


def _faster(metric: Metric, one: Line, other: Line) -> bool:
    """Say whether a variant is shown to be faster than another: by every round, and by the interval over rounds."""
    times = ratio(metric, other.row, one.row)
    is_beyond = times is not None and times.low is not None and times.low > 1
    return is_beyond and every_round_shows(metric, other.row, one.row)


def _draw(axes: Axes, size: Size, lines: Sequence[Line]) -> None:
    room = (size.height - 76) / (len(lines) + 0.5)
    text_size = min(14.0, 0.72 * room)
    names = [shortened(line.row.variant, 18) for line in lines]
    columns = 58 if size.narrow else 112
    frame(axes, widest(axes, names, text_size) + 12, columns, 30, 46)
    axes.set_yticks(range(len(lines)), names, fontsize=text_size)
    axes.set_ylim(len(lines) - 0.35, -0.65)
    axes.grid(axis="x")
    axes.set_xlabel("time of a request, ms")
    ends = [
        end
        for line in lines
        for end in (line.p50.value, line.p99.value, line.p99.high, *line.rounds_p50, *line.rounds_p99)
        if end is not None
    ]
    spaced(axes, "x", min(ends), max(ends), room=0.04)
    for y, line in enumerate(lines):
        _marks(axes, line, y, min(1.0, room / 22), below=min(0.36, 9 / room))
    beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    shown = [("P50", 48, [line.p50 for line in lines]), ("P99", 102, [line.p99 for line in lines])]
    for head, place, estimates in shown[:1] if size.narrow else shown:
        axes.annotate(
            head, (1, 1), (place, 8), "axes fraction", ha="right", va="bottom", textcoords="offset points", color=MUTED
        )
        for y, one in enumerate(estimates):
            text = digits(one.value) + ("+" if head == "P99" and one.high is None else "")
            axes.annotate(text, (1, y), (place, 0), ha="right", fontsize=text_size, color=INK, **beside)


def _marks(axes: Axes, line: Line, y: int, scale: float, below: float) -> None:
    colour, marker = colour_of(line.row.family), line.row.family.marker
    p50, p90, p99 = line.p50.value, line.p90.value, line.p99.value
    low, high = (p99 if end is None else end for end in (line.p99.low, line.p99.high))
    axes.plot([p50, p99], [y, y], color=colour, lw=1.6, alpha=0.6, zorder=2)
    axes.plot([low, high], [y, y], color=colour, lw=7 * scale, alpha=0.28, solid_capstyle="butt", zorder=1)
    axes.plot(p90, y, "|", color=colour, ms=10 * scale, mew=2, zorder=3)
    axes.plot(p99, y, "o", color=colour, mfc=PAPER, ms=8 * scale, mew=1.8, zorder=4)
    axes.plot(p50, y, marker=marker, color=colour, ms=9 * scale, mec=PAPER, mew=0.6, zorder=5)
    for rounds in (line.rounds_p50, line.rounds_p99):
        axes.plot(rounds, [y + below] * len(rounds), "|", color=colour, ms=5 * scale, mew=1.4, zorder=3)
