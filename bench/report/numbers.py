"""How numbers are written: units, intervals, and what stands where nothing was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil

from bench.metrics.metric import Scale, Unit
from bench.stats.estimates import Estimate
from bench.stats.proportions import Paired, Share

MISSING = "not measured"
TOO_SMALL = "n too small"


def sized(size_bytes: float | None) -> str:
    """Write bytes in the decimal unit that fits (1 MB = 10^6 bytes)."""
    if size_bytes is None:
        return MISSING
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= scale:
            return f"{digits(size_bytes / scale)} {unit}"
    return f"{size_bytes:.0f} B"


def digits(value: float) -> str:
    """Write a number with three significant digits and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def nats(value: float) -> str:
    """Write a divergence with three significant digits; small ones keep their exponent."""
    if value != 0 and abs(value) < 0.001:
        return f"{value:.1e}".replace("e-0", "e-").replace("-", "−")
    return f"{value:#.3g}".rstrip(".").replace("-", "−")


def share(value: float) -> str:
    """Write a share in percent with one decimal."""
    return f"{100 * value:.1f} %"


def spread_percent(value: float) -> str:
    """Write the most that rounds differ by: in whole percent, rounded up, and no less than one."""
    return f"{max(1, ceil(100 * value - 1e-9))} %"


def written(value: float, unit: Unit) -> str:
    """Write a value of a metric; `titled` names the unit where this does not."""
    return _WRITERS.get(unit, digits)(value)


def with_unit(value: float, unit: Unit) -> str:
    """Write a value of a metric with its unit, for where no title names it."""
    text = written(value, unit)
    return text if unit in ("byte", "share", "1") else f"{text} {unit}"


def changed(value: float, scale: Scale, unit: Unit, named: bool = True) -> str:
    """Write a change of a metric: a ratio, percentage points, or a difference in its unit; `named` adds what it is."""
    if scale == "ratio":
        return f"{value:.3f}" + ("×" if named else "")
    if scale == "points":
        return points(value) + (" pt" if named else "")
    text = ("+" if value >= 0 else "") + nats(value) if unit == "nat" else f"{value:+.4g}".replace("-", "−")
    return f"{text} {unit}" if named and unit != "1" else text


_WRITERS: Mapping[Unit, Callable[[float], str]] = {
    "byte": sized,
    "share": share,
    "nat": nats,
    "bit": lambda value: f"{value:.2f}",
}
_SUFFIXES: Mapping[Unit, str] = {"ms": ", ms", "s": ", s", "nat": ", nats"}


def titled(title: str, unit: Unit) -> str:
    """Return the title of a column with the unit of its values, where the values and the title do not name it."""
    suffix = _SUFFIXES.get(unit, "")
    return title if title.endswith(suffix) else title + suffix


def interval(estimate: Estimate, unit: Unit) -> str:
    """Write the interval of a metric's value, empty where it has none."""
    if estimate.low is None or estimate.high is None:
        return "" if estimate.low is None and estimate.high is None else span(estimate)
    if unit == "share":
        return percent_span(estimate)
    between = " to " if unit in ("nat", "byte") else "–"
    return f"{written(estimate.low, unit)}{between}{written(estimate.high, unit)}"


def span(estimate: Estimate) -> str:
    """Write an interval, saying so where the sample is too small for one of its ends."""
    if estimate.low is None or estimate.high is None:
        return TOO_SMALL if estimate.low is None else f"from {digits(estimate.low)},\n{TOO_SMALL}"
    return f"{digits(estimate.low)}–{digits(estimate.high)}"


def times(ratio: Estimate | float | None) -> str:
    """Write a ratio: 1.23×."""
    if ratio is None:
        return MISSING
    return f"{ratio.value if isinstance(ratio, Estimate) else ratio:.2f}×"


def times_span(ratio: Estimate | None) -> str:
    """Write the interval of a ratio; a ratio of exact numbers has none."""
    if ratio is None or (ratio.n == 0 and ratio.low is None):
        return ""
    return TOO_SMALL if ratio.low is None or ratio.high is None else f"{ratio.low:.2f}–{ratio.high:.2f}"


def percent(estimate: Estimate | Share) -> str:
    """Write a share with its interval: 93.5 % (90.7–95.5)."""
    return f"{share(estimate.value)} ({percent_span(estimate)})"


def percent_span(estimate: Estimate | Share) -> str:
    """Write the interval of a share in percent, empty where it has none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"


def points(value: float) -> str:
    """Write a difference of shares in percentage points, always with its sign."""
    text = f"{100 * value:+.1f}"
    return ("0.0" if text in ("+0.0", "-0.0") else text).replace("-", "−")


def points_span(paired: Paired) -> str:
    """Write the interval of a paired difference in percentage points."""
    return f"{points(paired.low)} to {points(paired.high)}"


def p_value(p: float) -> str:
    """Write a p value; below 0.001 the digits carry nothing."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}" if p < 0.1 else f"p {p:.2f}"


def least_to_most(counts: Sequence[int]) -> str:
    """Write how many samples several numbers are of: one count, or the least and the most."""
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def plural(n: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
