"""How sure a latency is: its rounds are what was observed of the machine, however many requests each of them served."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.stats.estimates import CONFIDENCE
from bench.summary.rows import Row

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


def spread_of(row: Row, metric: str) -> Spread | None:
    """Return how much a latency of a variant differs from round to round; None where it does not come in rounds.

    The variance is that of all variants of the sweep, moderated together (`stats.rounds.spreads`): they share one
    machine, and three rounds alone say little about how much rounds differ.
    """
    measured = row.in_rounds.get(metric)
    if measured is None or not measured.values:
        return None
    return Spread(measured.values, math.sqrt(measured.spread.variance), measured.spread.df)
