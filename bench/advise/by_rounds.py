"""How sure a latency is: its rounds are what was observed of the machine, however many requests each of them served."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.metrics.metric import Metric, Rounds
from bench.stats.estimates import CONFIDENCE, percentile
from bench.stats.rounds import Blocks, block_variance, moderated
from bench.summary.rows import Row, Summary

MOST_ROUNDS = 100
"""More rounds than that are not proposed."""


@dataclass(frozen=True)
class Spread:
    """The percentile of each round of a variant; the standard error of the log of all together, and its freedom.

    The error is infinite where there is one round: how much rounds differ is then not known.
    """

    rounds: tuple[float, ...]
    error: float = math.inf
    df: float = 0.0

    def around(self, value: float) -> tuple[float, float]:
        """Return the 95 % interval of a percentile that was measured in these rounds."""
        half = math.inf if math.isinf(self.error) else _t(self.df) * self.error
        return value * math.exp(-half), value * math.exp(min(half, 700.0))

    def rounds_needed(self, value: float, bound: float) -> int | None:
        """Return about how many rounds would leave the bound outside the interval, were the value what it looks like.

        The error falls with the square root of the number of rounds, and what is known of it grows with them.
        """
        k = len(self.rounds)
        if value == bound or k < 2:
            return None
        room = abs(math.log(bound / value))
        more = range(k + 1, MOST_ROUNDS + 1)
        return next((n for n in more if _t(self.df * (n - 1) / (k - 1)) * self.error * math.sqrt(k / n) < room), None)


def _t(df: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + CONFIDENCE) / 2))


def spreads(metric: Metric, summary: Summary) -> Mapping[str, Spread]:
    """Return by variant how much the rounds of a latency differ."""
    samples = {row.variant: metric.sample(row.records) for row in summary.rows} if metric.sample else {}
    timed = {name: sample for name, sample in samples.items() if isinstance(sample, Rounds)}
    q = next((sample.q for sample in timed.values()), 0.5)
    return spreads_of({name: sample.blocks for name, sample in timed.items()}, q)


def spreads_of(timed: Mapping[str, Blocks], q: float) -> Mapping[str, Spread]:
    """Return how much the `q` percentile of each variant differs from round to round; they share one machine.

    The variance is that of a bootstrap of whole rounds, and those of all variants are moderated together, as where two
    sweeps are compared (`stats.rounds`): three rounds alone say little about how much rounds differ.
    """
    blocks = {name: [block for block in rounds if len(block)] for name, rounds in timed.items()}
    several = {name: rounds for name, rounds in blocks.items() if len(rounds) > 1}
    own = [block_variance(rounds, q) for rounds in several.values()]
    shrunk, degrees = moderated(own, [float(len(rounds) - 1) for rounds in several.values()])
    known = {name: (math.sqrt(variance), df) for name, variance, df in zip(several, shrunk, degrees, strict=True)}
    return {
        name: Spread(tuple(percentile(block, q) for block in rounds), *known.get(name, (math.inf, 0.0)))
        for name, rounds in blocks.items()
        if rounds
    }


def rounds_of(metric: Metric, row: Row) -> tuple[float, ...]:
    """Return the percentile of each round of a variant."""
    sample = metric.sample(row.records) if metric.sample else None
    if not isinstance(sample, Rounds):
        return ()
    return tuple(percentile(block, sample.q) for block in sample.blocks if len(block))
