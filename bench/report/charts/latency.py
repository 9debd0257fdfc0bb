"""Latency percentiles of every variant, P99 with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.report.charts import INK, WIDTH, family_legend
from bench.report.numbers import digits
from bench.report.tables.overview import LATENCY_NAMES
from bench.summary.rows import Latency, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def latency_percentiles(rows: Sequence[Row]) -> Figure | None:
    """Draw a panel per runtime and latency: a line per variant, P50 to P99 with the interval of P99."""
    from matplotlib.figure import Figure

    names = [name for name in LATENCY_NAMES if any(name in row.latency for row in rows)]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.latency:
            groups.setdefault(row.runtime, []).append(row)
    if not groups:
        return None
    heights = [len(group) + 1.5 for group in groups.values()]
    figure = Figure(figsize=(WIDTH, 1.4 + 0.36 * sum(heights) + 0.8 * len(groups)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)  # type: ignore[call-arg,union-attr]
    panels = figure.subplots(len(groups), len(names), sharey="row", squeeze=False, height_ratios=heights)
    for line, (runtime, group) in zip(panels, groups.items(), strict=True):
        for axes, name in zip(line, names, strict=True):
            _panel(axes, group, name, f"{LATENCY_NAMES[name][0]} in {runtime}, ms")
        line[0].set_yticks(range(len(group)), [row.variant for row in group])
        line[0].set_ylim(len(group) - 0.4, -0.6)
    for axes, name in zip(panels[-1], names, strict=True):
        axes.set_xlabel(LATENCY_NAMES[name][1])
    counts = sorted({found.n for row in rows for found in row.latency.values()})
    n = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    figure.suptitle(
        f"Service time of a request, closed loop, n = {n} a variant: dot P50, tick P90, ring P99, "
        "bar its 95 % interval (+: n too small)",
        x=0.01, ha="left", fontsize=13,
    )  # fmt: skip
    family_legend(figure, rows)
    return figure


def _panel(axes: Axes, group: Sequence[Row], name: str, title: str) -> None:
    found = {y: (row, row.latency[name]) for y, row in enumerate(group) if name in row.latency}
    axes.set_title(title)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    if not found:
        return
    for y, (row, latency) in found.items():
        _one(axes, latency, y, row.family.colour)
    low = min(latency.p50.value for _, latency in found.values())
    _axis(axes, low, max(latency.p99.high or latency.p99.value for _, latency in found.values()))


def _one(axes: Axes, latency: Latency, y: float, colour: str) -> None:
    p50, p90, p99 = latency.p50, latency.p90, latency.p99
    low = p99.low if p99.low is not None else p99.value
    high = p99.high if p99.high is not None else p99.value
    axes.plot([p50.value, p99.value], [y, y], color=colour, lw=1.6, alpha=0.6, zorder=2)
    axes.plot([low, high], [y, y], color=colour, lw=8, alpha=0.28, solid_capstyle="butt", zorder=1)
    axes.plot(p50.value, y, "o", color=colour, ms=7.5, zorder=3)
    axes.plot(p90.value, y, "|", color=colour, ms=11, mew=2, zorder=3)
    axes.plot(p99.value, y, "o", color=colour, mfc="white", ms=7.5, mew=1.8, zorder=3)
    more = "" if p99.high is not None else "+"
    text: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 11, "color": INK}
    axes.annotate(digits(p50.value), (p50.value, y), (-8, 0), ha="right", **text)
    axes.annotate(digits(p99.value) + more, (max(high, p99.value), y), (8, 0), ha="left", **text)


def _axis(axes: Axes, low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    if high / low <= 4:
        room = 0.3 * (high - low)
        axes.set_xlim(max(0, low - room), high + room)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return
    axes.set_xscale("log")
    room = (high / low) ** 0.24
    left, right = low / room, high * room
    axes.set_xlim(left, right)
    steps = (1, 2, 5) if high / low < 60 else (1,)
    ticks = [m * 10.0**e for e in range(-4, 8) for m in steps]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if left <= tick <= right]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
