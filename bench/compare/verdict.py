"""The verdicts, and the one rule that judges every test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.compare.effects import Counted, Effect
from bench.metrics.metric import Better, Scale, Unit, within_limit
from bench.stats import estimates, proportions
from bench.stats.estimates import CONFIDENCE

Verdict = Literal[
    "better", "worse", "same", "undecided", "changed", "new", "gone", "now fails", "fixed", "not comparable"
]
ArtifactState = Literal["same", "changed", ""]

VERDICTS: tuple[Verdict, ...] = (
    "worse", "now fails", "not comparable", "gone", "undecided", "changed", "new", "fixed", "better", "same",
)  # fmt: skip
"""In reading order: what needs attention comes first."""
REGRESSIONS: frozenset[Verdict] = frozenset({"worse", "now fails"})
JUDGED: frozenset[Verdict] = frozenset({"better", "worse", "same", "undecided", "now fails", "fixed"})
ALPHA = 0.05
MANY = 1_000_000
"""An n from which on nothing is said of what would decide: nobody measures that much."""


@dataclass(frozen=True)
class VerdictLine:
    """One metric of one variant on both sides; None is what a side or the test does not have.

    `base` and `head` are in `unit`. `change` is head / base where `scale` is `ratio`, else head - base (of a share of
    right answers in shares of 1); `low` and `high` are the ends of its 95 % interval, `p` is Holm's, `limit` the
    smallest change that matters, as in `Metric.limit`. `n` counts the smaller side; `needed` is the n that would decide
    what is undecided, were the change what it looks like; `units` is what there is of it, and `counted` says what that
    is: rounds, questions, documents or windows. `artifact` says whether the name still means the same bytes.
    """

    variant: str
    artifact: ArtifactState
    metric: str
    verdict: Verdict
    base: float | str | None = None
    head: float | str | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    test: str = ""
    n: int | None = None
    p: float | None = None
    needed: int | None = None
    why: str = ""
    unit: Unit = "1"
    scale: Scale = "ratio"
    limit: float = 0.0
    measure: str = ""
    units: int | None = None
    counted: Counted | None = None


def judge(effect: Effect, p_holm: float) -> Verdict:
    """Judge a change: beyond chance and beyond the limit, or shown to lie within the limit, or neither.

    `same` is an equivalence test, TOST by the interval (Schuirmann 1987): the whole 95 % interval within the limit.
    """
    if effect.low is None or effect.high is None:
        return "undecided"
    if p_holm < ALPHA and abs(effect.value) > effect.limit:
        return "undecided" if effect.doubt else "worse" if effect.value > 0 else "better"
    return "same" if effect.low >= -effect.limit and effect.high <= effect.limit else "undecided"


def judge_exact(before: float, after: float, better: Better | None = "lower", limit: float = 0.0) -> Verdict:
    """Judge a number that is exact, such as a size: it is `changed` where it moved by no more than a share `limit`."""
    if after == before:
        return "same"
    if within_limit(before, after, limit):
        return "changed"
    return "better" if (after > before) == (better == "higher") else "worse"


def holm_by_family(effects: Sequence[Effect]) -> tuple[list[float], dict[str, int]]:
    """Return every test's p adjusted within its family (Holm 1979), and the size of each family.

    A false `worse` is one of two directions, so each family lets one through in at most 2.5 % of all comparisons.
    """
    adjusted, sizes = [effect.p for effect in effects], {}
    for family in dict.fromkeys(effect.family for effect in effects if effect.family):
        places = [i for i, effect in enumerate(effects) if effect.family == family]
        sizes[family] = len(places)
        for place, p in zip(places, proportions.holm([effects[i].p for i in places]), strict=True):
            adjusted[place] = p
    return adjusted, sizes


def needed_n(effect: Effect, family: int) -> int | None:
    """Return the n at which the change, were it what it looks like, would be `same`, `better` or `worse`.

    An interval's half width falls with the square root of n: within the limit it has to fit beside the value, beyond
    the limit it has to exclude 0 after Bonferroni's correction for the family. None where there is no interval, or
    where more than a million would not do.
    """
    if effect.low is None or effect.high is None or not math.isfinite(effect.high - effect.low):
        return None
    half, value = (effect.high - effect.low) / 2, abs(effect.value)
    if value > effect.limit:
        half *= estimates.normal_quantile(1 - ALPHA / (2 * max(1, family))) / estimates.normal_quantile(
            (1 + CONFIDENCE) / 2
        )
    room = value if value > effect.limit else effect.limit - value
    needed = math.inf if room <= 0 else effect.units * (half / room) ** 2
    return max(effect.units + 1, math.ceil(needed)) if needed < MANY else None
