"""Intervals and tests, computed on read from raw samples; nothing here is ever stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
FEW_PAIRS = 6
"""Pairs that have to differ before McNemar's exact test can reach p < 0.05: 2 / 2^6 = 0.03."""
DRAWS = 1000


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; an end that the sample is too small to give is None."""

    value: float
    low: float | None
    high: float | None
    n: int


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


def normal_quantile(p: float) -> float:
    """Return the value that a standard normal variable exceeds with probability 1 - p."""
    # scipy.special and not scipy.stats in this module: the latter takes longer to import than all else here.
    from scipy.special import ndtri

    return float(ndtri(p))


def _rank(n: int, share: float) -> int:
    # 0.99 * 300 is 297.00000000000006 in floating point, which would take the 298th value.
    return min(n, max(1, math.ceil(n * share - 1e-9)))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the sample does not exceed (nearest rank).

    It is always a value that was observed: Hyndman and Fan (1996) definition 1, the inverse of the
    empirical distribution function, which is also what the order-statistic interval covers.
    """
    return float(np.sort(np.asarray(values, dtype=float))[_rank(len(values), share) - 1])


@lru_cache(maxsize=1024)
def percentile_ranks(n: int, share: float, confidence: float = CONFIDENCE) -> tuple[int | None, int | None]:
    """Return the ranks (1 is the smallest) whose values enclose a percentile, equal-tailed.

    P(X_(l) <= xi <= X_(u)) = B(u - 1; n, q) - B(l - 1; n, q) whatever the distribution (David and Nagaraja,
    Order Statistics, section 7.1). Each tail holds at most half of what is left over; None is an end that
    no value of so small a sample can give: a P99 at 95 % has an upper end from n = 368 on.
    """
    from scipy.special import bdtr

    tail = (1 - confidence) / 2
    below = bdtr(np.arange(n), n, share)  # below[k]: at most k of the n lie under the percentile
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return (low if low >= 1 else None), (high if high <= n else None)


def percentile_estimate(values: Sequence[float], share: float, confidence: float = CONFIDENCE) -> Estimate:
    """Return a percentile with its distribution-free order-statistic interval."""
    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    low, high = percentile_ranks(n, share, confidence)
    return Estimate(
        value=float(ordered[_rank(n, share) - 1]),
        low=None if low is None else float(ordered[low - 1]),
        high=None if high is None else float(ordered[high - 1]),
        n=n,
    )


def percentile_draws(
    rounds: Sequence[Sequence[float]], shares: Sequence[float], draws: int = DRAWS, seed: int = 0
) -> NDArray[np.float64]:
    """Resample requests within their round; return the percentiles of each draw, shape (len(shares), draws).

    Rounds are kept whole in number and size (a stratified bootstrap), so that a slow round stays one round.
    """
    rng = np.random.default_rng(seed)
    blocks = [np.asarray(block, dtype=float) for block in rounds if len(block)]
    pooled = np.concatenate([block[rng.integers(len(block), size=(draws, len(block)))] for block in blocks], axis=1)
    places = [_rank(pooled.shape[1], share) - 1 for share in shares]
    pooled.partition(sorted(set(places)), axis=1)
    return pooled[:, places].T


def ratio_interval(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the percentile-bootstrap interval of a ratio from two rows of independent draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(numerator / denominator, [tail, 1 - tail])
    return float(low), float(high)


def percentile_ratio(
    numerator: Sequence[Sequence[float]], denominator: Sequence[Sequence[float]], share: float, seed: int = 0
) -> Estimate:
    """Return numerator / denominator of one percentile of two samples, each a list of rounds.

    The ends are None where either sample is too small for an interval of that percentile at all.
    """
    samples = [[value for block in side for value in block] for side in (numerator, denominator)]
    value = percentile(samples[0], share) / percentile(samples[1], share)
    n = min(map(len, samples))
    if None in percentile_ranks(n, share):
        return Estimate(value, None, None, n)
    draws = [percentile_draws(side, [share], seed=2 * seed + i)[0] for i, side in enumerate((numerator, denominator))]
    return Estimate(value, *ratio_interval(draws[0], draws[1]), n)


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
    one way, psi = d.
    """
    z_a, z_b = normal_quantile(1 - alpha / 2), normal_quantile(power)
    a, b, c = n + z_b**2, -2 * z_a * math.sqrt(psi * n), psi * (z_a**2 - z_b**2)
    found = (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)
    if found <= psi:
        return found
    for _ in range(50):  # a contraction: its derivative is about -z_a z_b / n
        found = (z_a + z_b * math.sqrt(max(0.0, 1 - found))) ** 2 / n
    return min(1.0, found)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for having looked at all of them (Holm 1979), in the given order."""
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, (len(p_values) - step) * p_values[i])
        adjusted[i] = min(1.0, running)
    return adjusted


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


def windows(values: Sequence[float], size: int) -> tuple[list[float], list[float]]:
    """Return the sums and the lengths of consecutive windows of `size` values, the last one perhaps shorter."""
    starts = np.arange(0, len(values), size)
    sums = np.add.reduceat(np.asarray(values, dtype=float), starts)
    return sums.tolist(), np.diff([*starts, len(values)]).tolist()


def ratio_mean(sums: Sequence[float], weights: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Return sum(sums) / sum(weights) over independent units: documents, or windows of one text; `n` counts them.

    Units are clusters: what is inside one may depend on each other (Miller 2024, arXiv 2411.00640). The
    standard error is that of a ratio (Cochran 1977, Sampling Techniques, section 2.11), with Student's t of one
    less than there are units; one unit has no interval. Of differences that pair by place it is the paired interval.
    """
    from scipy.special import stdtrit

    value, error = _ratio(sums, weights)
    if error is None:
        return Estimate(value, None, None, len(sums))
    half = float(stdtrit(len(sums) - 1, (1 + confidence) / 2)) * error
    return Estimate(value, value - half, value + half, len(sums))


def ratio_p(sums: Sequence[float], weights: Sequence[float]) -> float:
    """Return the two-sided p of Student's t that goes with the interval of `ratio_mean`: that the ratio is 0."""
    from scipy.special import stdtr

    value, error = _ratio(sums, weights)
    if not error:
        return 1.0 if error is None or value == 0 else 0.0
    return 2 * float(stdtr(len(sums) - 1, -abs(value) / error))


def _ratio(sums: Sequence[float], weights: Sequence[float]) -> tuple[float, float | None]:
    """Return a ratio and its standard error, None for a single unit."""
    totals, sizes = np.asarray(sums, dtype=float), np.asarray(weights, dtype=float)
    n, value = len(totals), float(totals.sum() / sizes.sum())
    if n < 2:
        return value, None
    residuals = totals - value * sizes
    return value, math.sqrt(n / (n - 1) * float(residuals @ residuals)) / float(sizes.sum())


def exponential(found: Estimate) -> Estimate:
    """Return exp of an estimate and of its ends, such as a perplexity of a mean of nats; infinite where too large."""

    def exp(value: float) -> float:
        return math.inf if value > 709 else math.exp(value)

    low, high = (None if end is None else exp(end) for end in (found.low, found.high))
    return Estimate(exp(found.value), low, high, found.n)
