"""How numbers are written: units, intervals, and what stands where nothing was measured."""

from __future__ import annotations

from bench.stats.estimates import Estimate
from bench.stats.proportions import Paired, Share

MISSING = "not measured"


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


def span(found: Estimate) -> str:
    """Write an interval, saying so where the sample is too small for one of its ends."""
    if found.low is None or found.high is None:
        return "n too small" if found.low is None else f"from {digits(found.low)},\nn too small"
    return f"{digits(found.low)}–{digits(found.high)}"


def times(found: Estimate | float | None) -> str:
    """Write a ratio: 1.23×."""
    if found is None:
        return MISSING
    return f"{found.value if isinstance(found, Estimate) else found:.2f}×"


def times_span(found: Estimate | None) -> str:
    """Write the interval of a ratio."""
    if found is None:
        return ""
    return "n too small" if found.low is None or found.high is None else f"{found.low:.2f}–{found.high:.2f}"


def share(value: float) -> str:
    """Write a share in percent with one decimal."""
    return f"{100 * value:.1f} %"


def percent(found: Share) -> str:
    """Write a share with its interval: 93.5 % (90.7–95.5)."""
    return f"{share(found.value)} ({percent_span(found)})"


def percent_span(found: Share) -> str:
    """Write the interval of a share in percent."""
    return f"{100 * found.low:.1f}–{100 * found.high:.1f}"


def points(value: float) -> str:
    """Write a difference of shares in percentage points, always with its sign."""
    text = f"{100 * value:+.1f}"
    return ("0.0" if text in ("+0.0", "-0.0") else text).replace("-", "−")


def points_span(found: Paired) -> str:
    """Write the interval of a paired difference in percentage points."""
    return f"{points(found.low)} to {points(found.high)}"


def p_value(p: float) -> str:
    """Write a p value; below 0.001 the digits carry nothing."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}" if p < 0.1 else f"p {p:.2f}"


def plural(n: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
