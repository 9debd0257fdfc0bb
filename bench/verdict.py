"""What a change amounts to: the verdicts, the thresholds they go by, and the one rule that judges every test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench import stats
from bench.answers import Answers, documents, higher_is_better, is_perplexity
from bench.rounds import RoundsChange
from bench.stats import CONFIDENCE, FEW_PAIRS, Paired

Verdict = Literal[
    "better", "worse", "same", "undecided", "changed", "new", "gone", "now fails", "fixed", "not comparable"
]
Mark = Literal["same", "changed", ""]
Counted = Literal["rounds", "questions", "documents", "windows"]
Scale = Literal["as is", "negated", "log"]

VERDICTS: tuple[Verdict, ...] = (
    "worse", "now fails", "not comparable", "gone", "undecided", "changed", "new", "fixed", "better", "same",
)  # fmt: skip
"""In the order in which a reader wants to hear of them."""
REGRESSIONS: frozenset[Verdict] = frozenset({"worse", "now fails"})
JUDGED: frozenset[Verdict] = frozenset({"better", "worse", "same", "undecided", "now fails", "fixed"})
ALPHA = 0.05
THRESHOLDS = {
    "e2e_p50_ms": 0.05,
    "e2e_p99_ms": 0.10,
    "peak_resident_bytes": 0.05,
    "peak_device_bytes": 0.05,
    "accuracy": 0.01,
    "perplexity": 0.01,
    "score": 0.01,
    "divergence": 0.10,
}
"""The change that matters in practice: a share of the base's value; of accuracy a difference, 0.01 is a point."""
SHARES = {"e2e_p50_ms": 0.5, "e2e_p99_ms": 0.99}
MANY = 1_000_000


@dataclass(frozen=True)
class Line:
    """One metric of one variant on both sides; None is what a side or the test does not have.

    `change` is head / base of a latency, a memory, a size or a perplexity, and head - base of an accuracy (share of
    1), of a score by another metric or of a divergence (nats per token); `low` and `high` are the ends of its 95 %
    interval, `p` is Holm's. `n` counts the smaller side; `needed` is the n that would decide what is undecided, were
    the change what it looks like.
    `artifact` says whether the name still means the same bytes.
    """

    variant: str
    artifact: Mark
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


@dataclass(frozen=True)
class Effect:
    """A change on a scale where 0 is none and more is worse, with what its test says of it.

    An end of the interval that the sample is too small for is None. `n` is what was counted, of which `units` are
    independent: `counted` says what these are. `family` names the tests that Holm's correction counts with this one,
    None where the test cannot reject whatever the data (Tarone 1990, Biometrics 46:515): it costs the others nothing.
    `doubt` is why the change is undecided whatever the test says. `scale` is what the value is on the scale that the
    metric is read on: its log, its negative, or itself.
    """

    value: float
    low: float | None
    high: float | None
    p: float
    limit: float
    test: str
    n: int
    units: int
    counted: Counted
    family: str | None
    doubt: str = ""
    scale: Scale = "as is"


def judge(effect: Effect, p_holm: float) -> Verdict:
    """Judge a change: beyond chance and beyond the limit, or shown to lie within the limit, or neither.

    `same` is an equivalence test, TOST by the interval (Schuirmann 1987): the whole 95 % interval within the limit.
    """
    if effect.low is None or effect.high is None:
        return "undecided"
    if p_holm < ALPHA and abs(effect.value) > effect.limit:
        return "undecided" if effect.doubt else "worse" if effect.value > 0 else "better"
    return "same" if effect.low >= -effect.limit and effect.high <= effect.limit else "undecided"


def judge_size(before: float, after: float) -> Verdict:
    """Judge a size, which is exact: any byte counts."""
    return "same" if after == before else "better" if after < before else "worse"


def holm_by_family(effects: Sequence[Effect]) -> tuple[list[float], dict[str, int]]:
    """Return every test's p adjusted within its family (Holm 1979), and the size of each family.

    One family per kind of test: a false `worse` is one of two directions, so each family lets one through in at most
    2.5 % of all comparisons.
    """
    adjusted, sizes = [effect.p for effect in effects], {}
    for family in dict.fromkeys(effect.family for effect in effects if effect.family):
        places = [i for i, effect in enumerate(effects) if effect.family == family]
        sizes[family] = len(places)
        for place, p in zip(places, stats.holm([effects[i].p for i in places]), strict=True):
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
        half *= stats.normal_quantile(1 - ALPHA / (2 * max(1, family))) / stats.normal_quantile((1 + CONFIDENCE) / 2)
    room = value if value > effect.limit else effect.limit - value
    needed = math.inf if room <= 0 else effect.units * (half / room) ** 2
    return max(effect.units + 1, math.ceil(needed)) if needed < MANY else None


def rounds_effect(found: RoundsChange, metric: str, thresholds: Mapping[str, float] = THRESHOLDS) -> Effect:
    """Make the effect on a latency's percentile or a peak of memory: the log of a ratio, its rounds the units."""
    share, half = SHARES.get(metric), found.half_width()
    doubt = "" if found.agree else "rounds of the two sides overlap: one slow round is no regression"
    if math.isinf(half):
        doubt = "one round on a side: it takes two to show how much rounds differ"
    elif share is not None and found.n < least_n(share):
        doubt, half = f"n too small: a P{share * 100:.0f} needs {least_n(share)} requests on each side", math.inf
    unknown = math.isinf(half)
    return Effect(
        value=found.log_ratio,
        low=None if unknown else found.log_ratio - half,
        high=None if unknown else found.log_ratio + half,
        p=1.0 if unknown else found.p,
        limit=math.log1p(thresholds[metric]),
        test="t over rounds",
        n=found.n,
        units=found.rounds,
        counted="rounds",
        family=None if unknown else "rounds",
        doubt=doubt,
        scale="log",
    )


def accuracy_effect(found: Paired, thresholds: Mapping[str, float] = THRESHOLDS) -> Effect:
    """Make the effect on accuracy, worse where it is lower: a difference of shares of the same questions."""
    ends, limit = (-found.difference, -found.high, -found.low), thresholds["accuracy"]
    family = "accuracy" if found.gained + found.lost >= FEW_PAIRS else None
    return Effect(*ends, found.p, limit, "exact McNemar", found.n, found.n, "questions", family, scale="negated")


def score_effect(before: Answers, after: Answers, thresholds: Mapping[str, float] = THRESHOLDS) -> Effect:
    """Make the effect on a task's number that is no share of right answers; the documents pair and are the units.

    Of a perplexity it is the log of the ratio, of anything else the difference; `bench.answers.higher_is_better` has
    to know which way is worse.
    """
    (values, weights), (others, _) = documents(before), documents(after)
    towards_worse = -1 if higher_is_better(before) else 1
    moved = [towards_worse * (b - a) for a, b in zip(values, others, strict=True)]
    if is_perplexity(before):
        return _paired(moved, weights, math.log1p(thresholds["perplexity"]), len(moved), "documents", "log")
    limit = thresholds["score"] * abs(stats.ratio_mean(values, weights).value)
    return _paired(moved, weights, limit, len(moved), "documents", "negated" if towards_worse < 0 else "as is")


def divergence_effect(
    before: Mapping[str, Any], after: Mapping[str, Any], thresholds: Mapping[str, float] = THRESHOLDS
) -> Effect:
    """Make the effect on the mean KL of the same tokens, in nats per token; windows of the text are the units.

    No limit is below what keeping the base in half precision makes by itself.
    """
    moved = [b - a for a, b in zip(before["kl"], after["kl"], strict=True)]
    limit = thresholds["divergence"] * abs(sum(before["kl"]) / len(moved))
    limit = max(limit, *(side.get("rounding_floor") or 0.0 for side in (before, after)))
    return _paired(*stats.windows(moved, before["window"]), limit, len(moved), "windows", "as is")


def _paired(
    sums: Sequence[float], weights: Sequence[float], limit: float, n: int, counted: Counted, scale: Scale
) -> Effect:
    found = stats.ratio_mean(sums, weights)
    known = found.low is not None
    return Effect(
        value=found.value,
        low=found.low,
        high=found.high,
        p=stats.ratio_p(sums, weights),
        limit=limit,
        test=f"paired t over {counted}",
        n=n,
        units=found.n,
        counted=counted,
        family=None if not known else "divergence" if counted == "windows" else "accuracy",
        doubt="" if known else f"a single {counted.removesuffix('s')}: it takes two to show how much they differ",
        scale=scale,
    )


def least_n(share: float, confidence: float = CONFIDENCE) -> int:
    """Return the smallest sample whose extremes enclose a percentile: max(q, 1 - q)^n is at most half of alpha."""
    return math.ceil(math.log((1 - confidence) / 2) / math.log(max(share, 1 - share)))
