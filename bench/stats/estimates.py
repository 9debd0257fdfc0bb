"""Intervals and tests, computed on read from raw samples; nothing here is ever stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
DRAWS = 1000


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, of n samples; an end that the sample is too small to give is None.

    `n` is 0 where the number is exact and no sample's.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0


def normal_quantile(p: float) -> float:
    """Return the value that a standard normal variable exceeds with probability 1 - p."""
    # scipy.special and not scipy.stats in this module: the latter takes longer to import than all else here.
    from scipy.special import ndtri

    return float(ndtri(p))


def _rank(n: int, q: float) -> int:
    # 0.99 * 300 is 297.00000000000006 in floating point, which would take the 298th value.
    return min(n, max(1, math.ceil(n * q - 1e-9)))


def percentile(values: Sequence[float] | NDArray[np.float64], q: float) -> float:
    """Return the smallest value that at least `q` of the sample does not exceed (nearest rank).

    It is always a value that was observed: Hyndman and Fan (1996) definition 1, the inverse of the
    empirical distribution function, which is also what the order-statistic interval covers.
    """
    return float(np.sort(np.asarray(values, dtype=float))[_rank(len(values), q) - 1])


@lru_cache(maxsize=1024)
def percentile_ranks(n: int, q: float, confidence: float = CONFIDENCE) -> tuple[int | None, int | None]:
    """Return the ranks (1 is the smallest) whose values enclose a percentile, equal-tailed.

    P(X_(l) <= xi <= X_(u)) = B(u - 1; n, q) - B(l - 1; n, q) whatever the distribution (David and Nagaraja,
    Order Statistics, section 7.1). Each tail holds at most half of what is left over; None is an end that
    no value of so small a sample can give: a P99 at 95 % has an upper end from n = 368 on.
    """
    from scipy.special import bdtr

    tail = (1 - confidence) / 2
    below = bdtr(np.arange(n), n, q)  # below[k]: at most k of the n lie under the percentile
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return (low if low >= 1 else None), (high if high <= n else None)


def percentile_estimate(
    values: Sequence[float] | NDArray[np.float64], q: float, confidence: float = CONFIDENCE
) -> Estimate:
    """Return a percentile with its distribution-free order-statistic interval."""
    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    low, high = percentile_ranks(n, q, confidence)
    return Estimate(
        value=float(ordered[_rank(n, q) - 1]),
        low=None if low is None else float(ordered[low - 1]),
        high=None if high is None else float(ordered[high - 1]),
        n=n,
    )


def percentile_ratio(numerator: Sequence[float], denominator: Sequence[float], q: float, seed: int = 0) -> Estimate:
    """Return numerator / denominator of one percentile of two samples, with its percentile-bootstrap interval.

    The values of each sample are taken as independent: it is for one run that alternates between the two; of rounds
    see `rounds.compare_variants`. The ends are None where either sample is too small for one.
    """
    value = percentile(numerator, q) / percentile(denominator, q)
    n = min(len(numerator), len(denominator))
    if None in percentile_ranks(n, q):
        return Estimate(value, None, None, n)
    rng = np.random.default_rng(seed)
    draws = [_percentile_draws(np.asarray(side, dtype=float), q, rng) for side in (numerator, denominator)]
    low, high = np.quantile(draws[0] / draws[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), n)


def _percentile_draws(values: NDArray[np.float64], q: float, rng: np.random.Generator) -> NDArray[np.float64]:
    n, place = len(values), _rank(len(values), q) - 1
    drawn: NDArray[np.float64] = np.partition(values[rng.integers(n, size=(DRAWS, n))], place, axis=1)[:, place]
    return drawn


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


def exp(value: float) -> float:
    """Return e to this power, infinite where that is too large for a float."""
    return math.inf if value > 709 else math.exp(value)


def exponential(estimate: Estimate) -> Estimate:
    """Return exp of an estimate and of its ends, such as a perplexity of a mean of nats."""
    low, high = (None if end is None else exp(end) for end in (estimate.low, estimate.high))
    return Estimate(exp(estimate.value), low, high, estimate.n)


def least_n(q: float, confidence: float = CONFIDENCE) -> int:
    """Return the smallest sample whose extremes enclose a percentile: max(q, 1 - q)^n is at most half of alpha."""
    return math.ceil(math.log((1 - confidence) / 2) / math.log(max(q, 1 - q)))
