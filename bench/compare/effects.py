"""The effect of a change on one metric, with its test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.metrics.answers import documents, higher_is_better, is_perplexity
from bench.metrics.metric import SHARES, THRESHOLDS
from bench.records.schema import Answers
from bench.stats import estimates
from bench.stats.estimates import CONFIDENCE
from bench.stats.proportions import FEW_PAIRS, Paired
from bench.stats.rounds import RoundsChange

Counted = Literal["rounds", "questions", "documents", "windows"]


Scale = Literal["as is", "negated", "log"]


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
    limit = thresholds["score"] * abs(estimates.ratio_mean(values, weights).value)
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
    return _paired(*estimates.windows(moved, before["window"]), limit, len(moved), "windows", "as is")


def _paired(
    sums: Sequence[float], weights: Sequence[float], limit: float, n: int, counted: Counted, scale: Scale
) -> Effect:
    found = estimates.ratio_mean(sums, weights)
    known = found.low is not None
    return Effect(
        value=found.value,
        low=found.low,
        high=found.high,
        p=estimates.ratio_p(sums, weights),
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
