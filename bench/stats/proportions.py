"""Intervals and tests of shares of right answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.stats.estimates import CONFIDENCE, normal_quantile

FEW_PAIRS = 6
"""Pairs that have to differ before McNemar's exact test can reach p < 0.05: 2 / 2^6 = 0.03."""


@dataclass(frozen=True)
class Share:
    """A share of 1 with its interval, which has both ends for any n."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Paired:
    """The change of a share of right answers when the same questions are asked twice, as shares of 1."""

    n: int
    gained: int
    lost: int
    difference: float
    low: float
    high: float
    p: float
    detectable: float


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Share:
    """Return a share with its Wilson score interval (Wilson 1927, JASA 22:209)."""
    z, share = normal_quantile((1 + confidence) / 2), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return Share(share, max(0.0, middle - half), min(1.0, middle + half), n)


def mcnemar(gained: int, lost: int) -> float:
    """Return the exact two-sided p of McNemar's test: discordant pairs against a fair coin (McNemar 1947)."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def paired_difference(before: Sequence[bool], after: Sequence[bool], confidence: float = CONFIDENCE) -> Paired:
    """Compare right answers to the same questions in the same order: share after minus share before."""
    if len(before) != len(after) or not before:
        raise ValueError(f"paired answers: {len(before)} before, {len(after)} after")
    gained = sum(b and not a for a, b in zip(before, after, strict=True))
    lost = sum(a and not b for a, b in zip(before, after, strict=True))
    return paired_counts(len(before), gained, lost, confidence)


def paired_counts(n: int, gained: int, lost: int, confidence: float = CONFIDENCE) -> Paired:
    """Return the change of a share of which `gained` of n pairs went one way and `lost` the other.

    The interval is that of Agresti and Min (2005, Statistics in Medicine 24:729): half a pair is added to
    each of the four cells of the table before Var = (psi - d^2) / n, with psi the share of pairs that differ.
    Below FEW_PAIRS pairs that differ it is too short, and is widened to what the exact intervals of gains and
    losses allow (Clopper and Pearson 1934). `detectable` takes its psi from the same table.
    """
    psi, middle = (gained + lost + 1) / (n + 2), (gained - lost) / (n + 2)
    half = normal_quantile((1 + confidence) / 2) * math.sqrt((psi - middle**2) / (n + 2))
    low, high = middle - half, middle + half
    if gained + lost < FEW_PAIRS:
        (least_gain, most_gain), (least_loss, most_loss) = (_exact(k, n, confidence) for k in (gained, lost))
        low, high = min(low, least_gain - most_loss), max(high, most_gain - least_loss)
    return Paired(
        n=n,
        gained=gained,
        lost=lost,
        difference=(gained - lost) / n,
        low=max(-1.0, low),
        high=min(1.0, high),
        p=mcnemar(gained, lost),
        detectable=detectable_difference(n, psi),
    )


def _exact(count: int, n: int, confidence: float) -> tuple[float, float]:
    """Return Clopper and Pearson's interval of a share."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(count, n - count + 1, tail)) if count else 0.0
    return low, float(betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0


def detectable_difference(n: int, psi: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest true difference that McNemar's test on n pairs finds with the stated power.

    Solves n = (z_a sqrt(psi) + z_b sqrt(psi - d^2))^2 / d^2 for d (Connor 1987, Biometrics 43:207), which
    has a closed form: d^2 (n + z_b^2) - 2 z_a sqrt(psi n) d - psi (z_b^2 - z_a^2) = 0.
    A difference cannot exceed the share of pairs that differ: where that d does, all pairs that differ do so
    one way, psi = d. Three pairs and fewer have no such d, and find no difference: the whole share, 1.
    """
    z_a, z_b = normal_quantile(1 - alpha / 2), normal_quantile(power)
    a, b, c = n + z_b**2, -2 * z_a * math.sqrt(psi * n), psi * (z_a**2 - z_b**2)
    difference = (-b + math.sqrt(max(0.0, b * b - 4 * a * c))) / (2 * a)
    if difference <= psi and b * b >= 4 * a * c:
        return difference
    for _ in range(50):  # a contraction: its derivative is about -z_a z_b / n
        difference = (z_a + z_b * math.sqrt(max(0.0, 1 - difference))) ** 2 / n
    return min(1.0, difference)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for having looked at all of them (Holm 1979), in the given order."""
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, (len(p_values) - step) * p_values[i])
        adjusted[i] = min(1.0, running)
    return adjusted


def shown_to_lose(changes: Sequence[Paired]) -> list[bool]:
    """Say of each change whether it is shown to be a loss, after Holm's correction for having looked at all of them."""
    adjusted = holm([change.p for change in changes])
    return [p < 1 - CONFIDENCE and change.difference < 0 for p, change in zip(adjusted, changes, strict=True)]


def macro_average(counts: Sequence[tuple[int, int]], confidence: float = CONFIDENCE) -> Share:
    """Return the mean of the shares of several subjects, each given as (successes, n); `n` is that of all together.

    The interval is that of a stratified sample (Cochran 1977, Sampling Techniques, chapter 5): the subjects are fixed,
    the questions of each are sampled, Var = sum of p (1 - p) / (n - 1) over subjects / subjects^2. A subject of one
    question counts with the variance at the mean share; where no subject has answers of both kinds, the interval is
    Wilson's over all questions.
    """
    total, value = sum(n for _, n in counts), sum(right / n for right, n in counts) / len(counts)
    variances = [right / n * (1 - right / n) / (n - 1) if n > 1 else value * (1 - value) for right, n in counts]
    if not any(variances):
        pooled = wilson(sum(right for right, _ in counts), total, confidence)
        return Share(value, min(value, pooled.low), max(value, pooled.high), total)
    half = normal_quantile((1 + confidence) / 2) * math.sqrt(sum(variances)) / len(counts)
    return Share(value, max(0.0, value - half), min(1.0, value + half), total)
