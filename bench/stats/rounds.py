"""Compare two sides that were each measured in rounds: what changed, and how sure that is, with the rounds as blocks.

A machine has slow and quick spells, so that the requests of one round are alike and a sweep of three rounds is three
observations of its machine, however many requests it served.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from bench.stats.estimates import CONFIDENCE, exp, percentile

Blocks = Sequence[Sequence[float]]
MANY_ROUNDS = 6
MOST_ROUNDS = 100
"""More rounds than that are not proposed."""
LEAST_VARIANCE = 1e-8
"""(0.01 %)^2: what a clock or a page of memory rounds to; repeated values have no smaller error than that."""


@dataclass(frozen=True)
class RoundsChange:
    """log(after / before) of a percentile, with its standard error and degrees of freedom; n is the smaller side's.

    `agree` says that every round of one side lies beyond every round of the other. The standard error is infinite
    where a side has a single round: how much its rounds differ is then not known.
    """

    log_ratio: float
    standard_error: float
    df: float
    n: int
    rounds: int
    agree: bool

    @property
    def p(self) -> float:
        """Return the two-sided p of Student's t."""
        from scipy.special import stdtr

        return 1.0 if math.isinf(self.standard_error) else 2 * float(stdtr(self.df, -abs(self._t)))

    @property
    def _t(self) -> float:
        return self.log_ratio / self.standard_error

    def half_width(self, confidence: float = CONFIDENCE) -> float:
        """Return half the width of the interval of the log ratio."""
        return _half_width(self.standard_error, self.df, confidence)


def _half_width(error: float, df: float, confidence: float = CONFIDENCE) -> float:
    from scipy.special import stdtrit

    return math.inf if math.isinf(error) else float(stdtrit(df, (1 + confidence) / 2)) * error


def compare_rounds(sides: Mapping[str, tuple[Blocks, Blocks]], q: float) -> dict[str, RoundsChange]:
    """Compare the `q` percentile of every variant, before and after; all variants of a sweep show its variance.

    The variance of a side is that of a bootstrap of its rounds as whole blocks; those of all variants are then
    moderated together, because three rounds alone say little about it.
    """
    own = {name: [block_variance(side, q) for side in pair] for name, pair in sides.items()}
    df = {name: float(sum(map(len, pair)) - 2) for name, pair in sides.items() if min(map(len, pair)) > 1}
    variances, total = moderated([sum(own[name]) for name in df], list(df.values()))
    known = {
        name: (math.sqrt(variance), total_df) for name, variance, total_df in zip(df, variances, total, strict=True)
    }
    return {name: _change(*pair, q, *known.get(name, (math.inf, 0.0))) for name, pair in sides.items()}


@dataclass(frozen=True)
class Spread:
    """The variance of the log of a percentile of one variant's rounds, with its degrees of freedom.

    It is infinite for a single round: how much rounds differ is then not known.
    """

    variance: float
    df: float

    def around(self, value: float) -> tuple[float, float]:
        """Return the 95 % interval of a percentile that was measured in these rounds."""
        half = _half_width(math.sqrt(self.variance), self.df)
        return value * exp(-half), value * exp(half)

    def rounds_needed(self, value: float, bound: float, rounds: int) -> int | None:
        """Return about how many rounds would leave the bound outside the interval, were the value what it looks like.

        The error falls with the square root of the number of rounds, and what is known of it grows with them. None
        where MOST_ROUNDS would not do.
        """
        if value == bound or rounds < 2:
            return None
        room, error = abs(math.log(bound / value)), math.sqrt(self.variance)
        for n in range(rounds + 1, MOST_ROUNDS + 1):
            if _half_width(error * math.sqrt(rounds / n), self.df * (n - 1) / (rounds - 1)) < room:
                return n
        return None


UNKNOWN = Spread(math.inf, 0.0)


def spreads(variants: Mapping[str, Blocks], q: float) -> dict[str, Spread]:
    """Return the spread of each variant of one sweep; together they show how much its rounds differ."""
    several = {name: blocks for name, blocks in variants.items() if len(blocks) > 1}
    own = [block_variance(blocks, q) for blocks in several.values()]
    variances, df = moderated(own, [float(len(blocks) - 1) for blocks in several.values()])
    known = {name: Spread(float(v), float(d)) for name, v, d in zip(several, variances, df, strict=True)}
    return {name: known.get(name, UNKNOWN) for name in variants}


def compare_variants(sides: tuple[Blocks, Blocks], q: float, spread: tuple[Spread, Spread]) -> RoundsChange:
    """Compare the `q` percentile of two variants of one sweep, before and after.

    The degrees of freedom are those of the side that has fewer: two variances that were moderated together are not
    independent, and a sum of them is then no better known than either.
    """
    variance, df = sum(side.variance for side in spread), min(side.df for side in spread)
    return _change(*sides, q, math.sqrt(variance), df)


def _change(before: Blocks, after: Blocks, q: float, error: float, df: float) -> RoundsChange:
    values = [percentile([value for block in side for value in block], q) for side in (before, after)]
    n, rounds = (min(of) for of in ([sum(map(len, side)) for side in (before, after)], [len(before), len(after)]))
    return RoundsChange(math.log(values[1] / values[0]), error, df, n, rounds, rounds_agree(before, after, q))


def rounds_agree(before: Blocks, after: Blocks, q: float) -> bool:
    """Say whether every round of one side is beyond every round of the other: one slow round is no regression."""
    ours, theirs = ([percentile(block, q) for block in side] for side in (after, before))
    return min(ours) > max(theirs) or max(ours) < min(theirs)


def block_variance(rounds: Blocks, q: float) -> float:
    """Return the variance of the log of a percentile when rounds are resampled as whole blocks.

    Davison and Hinkley, Bootstrap Methods (1997), section 3.8: blocks with replacement, what is in a block kept;
    resampling within the block too would count the spread of its requests twice. k blocks show k - 1 / k of the
    variance, which is corrected. Up to MANY_ROUNDS rounds every resample is taken once, with its weight.

    Of the largest value (q = 1) a resample says too little, as it often has the very same largest value (section
    2.6.1): its variance is taken to be that of one round's largest, which for normal values is more than that of
    the largest of k, so that the test errs to the safe side.
    """
    k = len(rounds)
    if k < 2:
        return 0.0
    if q == 1.0:
        return max(LEAST_VARIANCE, float(np.var([math.log(max(block)) for block in rounds], ddof=1)))
    blocks = [np.asarray(block, dtype=float) for block in rounds]
    chosen, weights = _resamples(k)
    logs = np.log([percentile(np.concatenate([blocks[i] for i in row]), q) for row in chosen])
    middle = float(np.average(logs, weights=weights))
    return max(LEAST_VARIANCE, k / (k - 1) * float(np.average((logs - middle) ** 2, weights=weights)))


@cache
def _resamples(k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ways to draw k of k blocks with replacement and how often each comes up, or many random ones."""
    if k > MANY_ROUNDS:
        return np.random.default_rng(k).integers(k, size=(500, k)), np.ones(500)
    rows = list(combinations_with_replacement(range(k), k))
    ways = [math.factorial(k) / math.prod(math.factorial(row.count(i)) for i in range(k)) for row in rows]
    return np.array(rows), np.array(ways)


def moderated(variances: Sequence[float], df: Sequence[float]) -> tuple[list[float], list[float]]:
    """Shrink variances towards what they have in common; return them and their degrees of freedom.

    Smyth (2004), Statistical Applications in Genetics and Molecular Biology 3(1):3, equations 5 and 6: a scaled
    inverse chi-square prior is fitted to log variances by their mean and variance. Where the variances differ by no
    more than chance has them differ, the prior is all there is, with the degrees of freedom of all together.
    """
    from scipy.special import digamma, polygamma

    s2, d = np.asarray(variances, dtype=float), np.asarray(df, dtype=float)
    if len(s2) < 2:
        return list(s2), list(d)
    e = np.log(s2) - digamma(d / 2) + np.log(d / 2)
    spread = float(np.var(e, ddof=1) - np.mean(polygamma(1, d / 2)))
    if spread <= 0:
        return [float(np.average(s2, weights=d))] * len(s2), [float(d.sum())] * len(s2)
    d0 = 2 * _trigamma_inverse(spread)
    prior = math.exp(float(np.mean(e)) + float(digamma(d0 / 2)) - math.log(d0 / 2))
    return list((d0 * prior + d * s2) / (d0 + d)), list(np.minimum(d0 + d, d.sum()))


def _trigamma_inverse(value: float) -> float:
    """Solve trigamma(y) = value by Newton's method on 1 / trigamma, which is convex (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-8:
            break
    return y
