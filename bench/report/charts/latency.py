"""Latency percentiles of every variant, P99 with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.metrics.latency import NAMES
from bench.report.charts.style import INK, WIDTH, family_legend
from bench.report.numbers import digits
from bench.report.tables.latency import MEANINGS
from bench.stats.estimates import Estimate
from bench.summary.rows import Row, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Percentiles:
    """One latency of a variant, in ms."""

    p50: Estimate
    p90: Estimate
    p99: Estimate

    @property
    def last(self) -> float:
        """Return the upper end of the interval of P99, or P99 where the sample is too small for one."""
        return self.p99.value if self.p99.high is None else self.p99.high


def percentiles_of(row: Row, name: str) -> Percentiles | None:
    """Return the percentiles of a latency (ttft, tpot or e2e), None where they were not measured."""
    p50, p90, p99 = (row.values.get(f"{name}_p{q}_ms") for q in (50, 90, 99))
    return Percentiles(p50, p90, p99) if p50 and p90 and p99 else None


def latency_percentiles(summary: Summary) -> Figure | None:
    """Draw a panel per runtime and latency: a line per variant, P50 to P99 with the interval of P99."""
    from matplotlib.figure import Figure

    names = [name for name in NAMES if any(percentiles_of(row, name) for row in summary.rows)]
    timed = [row for row in summary.rows if any(percentiles_of(row, name) for name in names)]
    groups: dict[str, list[Row]] = {}
    for row in timed:
        groups.setdefault(row.runtime, []).append(row)
    if not groups:
        return None
    heights = [len(group) + 1.5 for group in groups.values()]
    figure = Figure(figsize=(WIDTH, 1.4 + 0.36 * sum(heights) + 0.8 * len(groups)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)  # type: ignore[call-arg,union-attr]
    panels = figure.subplots(len(groups), len(names), sharey="row", squeeze=False, height_ratios=heights)
    for line, (runtime, group) in zip(panels, groups.items(), strict=True):
        for axes, name in zip(line, names, strict=True):
            _panel(axes, group, name, f"{NAMES[name]} in {runtime}, ms")
        line[0].set_yticks(range(len(group)), [row.variant for row in group])
        line[0].set_ylim(len(group) - 0.4, -0.75)
    for axes, name in zip(panels[-1], names, strict=True):
        axes.set_xlabel(MEANINGS[name])
    counts = sorted({one.p50.n for row in timed for name in names if (one := percentiles_of(row, name))})
    n = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    figure.suptitle(
        f"Service time of a request, closed loop, n = {n} a variant: dot P50, tick P90, ring P99, "
        "bar its 95 % interval (+: n too small)",
        x=0.01, ha="left", fontsize=13,
    )  # fmt: skip
    family_legend(figure, summary.rows)
    return figure


def _panel(axes: Axes, group: Sequence[Row], name: str, title: str) -> None:
    lines = {y: one for y, row in enumerate(group) if (one := percentiles_of(row, name))}
    axes.set_title(title)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    if not lines:
        return
    for y, one in lines.items():
        _line(axes, one, y, group[y].family.colour)
    _axis(axes, min(one.p50.value for one in lines.values()), max(one.last for one in lines.values()))


def _line(axes: Axes, one: Percentiles, y: float, colour: str) -> None:
    p50, p90, p99 = one.p50, one.p90, one.p99
    low = p99.low if p99.low is not None else p99.value
    axes.plot([p50.value, p99.value], [y, y], color=colour, lw=1.6, alpha=0.6, zorder=2)
    axes.plot([low, one.last], [y, y], color=colour, lw=8, alpha=0.28, solid_capstyle="butt", zorder=1)
    axes.plot(p50.value, y, "o", color=colour, ms=7.5, zorder=3)
    axes.plot(p90.value, y, "|", color=colour, ms=11, mew=2, zorder=3)
    axes.plot(p99.value, y, "o", color=colour, mfc="white", ms=7.5, mew=1.8, zorder=3)
    more = "" if p99.high is not None else "+"
    text: dict[str, Any] = {"textcoords": "offset points", "fontsize": 11, "color": INK}
    axes.annotate(digits(p50.value), (p50.value, y), (-8, 0), ha="right", va="center", **text)
    # Above its ring: a number beside the bar would be read as the value there, which is the end of the interval.
    axes.annotate(digits(p99.value) + more, (p99.value, y), (0, 6), ha="center", va="bottom", **text)


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
