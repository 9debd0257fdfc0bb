"""The words of an advice: limits, intervals and names as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.advise.judgement import Judgement
from bench.advise.limits import Limit
from bench.metrics.latency import NAMES as NAMES_OF_LATENCIES
from bench.report.numbers import digits, plural, points, share, sized

MARKS = {"pass": "✓", "fail": "✗", "undecided": "?", "not measured": "–"}
LEGEND = (
    "✓ all of the 95 % interval is inside the limit · ✗ all of it is outside · ? it reaches across · – not measured"
)
FRACTIONS = {"half": 1 / 2, "a third": 1 / 3, "a quarter": 1 / 4}
NAMES = 4
"""More names than that are counted and not listed."""


def stated(value: float) -> str:
    """Write a share that a user stated: 98 %, 99.9 %."""
    return f"{100 * value:.4g} %"


def subject_of(limit: Limit) -> str:
    """Return what a limit is about, such as `E2E P99` or a task."""
    if limit.kind == "latency":
        timed, point, _ = limit.metric.split("_")
        return f"{NAMES_OF_LATENCIES[timed]} {point.upper()}"
    return limit.task or limit.kind


def condition_of(limit: Limit) -> str:
    """Return what a limit asks for, such as `≤ 200 ms` or `keeps 98 % of fine-tuned`."""
    if limit.kind == "keeps":
        return f"keeps {stated(limit.bound)} of {limit.of}"
    if limit.kind == "not forgotten":
        return f"loses ≤ {100 * limit.bound:g} pt of {limit.of}"
    if limit.kind == "quality":
        return f"≥ {stated(limit.bound)}"
    return f"≤ {limit.bound:g} ms" if limit.kind == "latency" else f"≤ {sized(limit.bound)}"


def limit_text(limit: Limit) -> str:
    """Write a limit in one line: E2E P99 ≤ 200 ms."""
    return f"{subject_of(limit)} {condition_of(limit)}"


def value_text(judgement: Judgement) -> str:
    """Write the interval that decides, or the number where it is exact."""
    limit = judgement.limit
    if judgement.value is None:
        return "not measured"
    if judgement.why in ("not trained", "compared with itself"):
        return "itself" if judgement.why == "compared with itself" else judgement.why
    if limit.kind in ("size", "memory", "training memory"):
        return sized(judgement.value)
    if limit.kind in ("keeps", "not forgotten"):
        return f"{_points(judgement.low or 0.0)}…{_points(judgement.high or 0.0)}"
    low, high = judgement.low, judgement.high
    if limit.kind == "quality":
        return f"{100 * (low or 0.0):.1f}–{100 * (high or 0.0):.1f}"
    if low is None:
        return f"{digits(judgement.value)}, n {judgement.n}"
    return f"{digits(low)}–{digits(high)}" if high is not None else f"{digits(low)}–?"


def _points(change: float) -> str:
    """Write a change in points, without decimals where they say nothing."""
    return points(change) if abs(change) < 0.1 else f"{100 * change:+.0f}".replace("-", "−")


def decided_by(judgement: Judgement) -> str:
    """Write the interval and the limit that it is compared with, such as −1.6…+2.0 pt, limit −1.9 pt."""
    limit = judgement.limit
    if limit.kind in ("keeps", "not forgotten"):
        return f"{value_text(judgement)} pt, limit {points(judgement.bound)} pt"
    unit = " ms" if limit.kind == "latency" else " %" if limit.kind == "quality" else ""
    return f"{value_text(judgement)}{unit}, limit {condition_of(limit)}"


def units_of(limit: Limit) -> str:
    """Return what is counted: questions of a task, or requests."""
    return f"questions of {limit.task}" if limit.is_quality else "requests"


def would_decide(judgement: Judgement) -> str:
    """Return how many samples or rounds would decide what is open, empty where no number would."""
    if judgement.needed_rounds:
        return f"about {plural(judgement.needed_rounds, 'round')}"
    return f"about {judgement.needed:,} {units_of(judgement.limit).partition(' ')[0]}" if judgement.needed else ""


def measured(judgement: Judgement) -> str:
    """Return how many of what would decide it there are now."""
    if judgement.needed_rounds:
        return plural(judgement.rounds, "round")
    return f"{judgement.n:,} {units_of(judgement.limit)}"


def more_needed(judgement: Judgement) -> str:
    """Return how many more samples or rounds would decide what is open, empty where no number would."""
    if judgement.needed_rounds:
        return plural(judgement.needed_rounds - judgement.rounds, "more round")
    units = f"{judgement.limit.task} questions" if judgement.limit.is_quality else "requests"
    return f"{judgement.needed - judgement.n:,} more {units}" if judgement.needed else ""


def effort(judgement: Judgement) -> float:
    """Return how many times as much must be measured to decide what is open, infinite where nothing would."""
    if judgement.needed_rounds:
        return judgement.needed_rounds / judgement.rounds
    return judgement.needed / max(judgement.n, 1) if judgement.needed else math.inf


def listed(names: Sequence[str], of: str = "variants") -> str:
    """List a few names, or count many."""
    if len(names) > NAMES:
        return f"{', '.join(names[: NAMES - 1])} and {len(names) - NAMES + 1} more {of}"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def share_of_size(part: float, whole: float) -> str:
    """Write how large one size is of another."""
    return f"{100 * part / whole:.0f} %" if whole else share(0.0)


def in_fractions(part: float, whole: float) -> str:
    """Write how large one size is of another in words, where a fraction says it to within 5 %."""
    share_of = part / whole if whole else 0.0
    near = (words for words, fraction in FRACTIONS.items() if abs(share_of / fraction - 1) <= 0.05)
    return next(near, share_of_size(part, whole))
