"""Sum up what a comparison left undecided, measure by measure, and how much more would decide it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median_low

from bench.compare.effects import Counted
from bench.compare.verdict import Verdict, VerdictLine

SHOWN: frozenset[Verdict] = frozenset({"better", "worse", "same", "undecided"})


@dataclass(frozen=True)
class Undecided:
    """The metrics of one measure that were tested, and those of them that are undecided.

    These rest on `least` to `most` of what is `counted`; about `needed` would decide half of them, None where no number
    would: then `why` is the reason that most of them have.
    """

    measure: str
    n: int
    of: int
    counted: Counted
    least: int
    most: int
    needed: int | None
    why: str


def undecided(lines: Sequence[VerdictLine]) -> Iterator[Undecided]:
    """Yield the measures with an undecided metric."""
    for measure in dict.fromkeys(line.measure for line in lines):
        tested = [line for line in lines if line.measure == measure and line.counted and line.verdict in SHOWN]
        still_open = [line for line in tested if line.verdict == "undecided"]
        if not still_open:
            continue
        counted = Counter(line.counted for line in still_open if line.counted).most_common(1)[0][0]
        units = [line.units for line in still_open if line.units and line.counted == counted]
        needed = [n for line in still_open if line.counted == counted and (n := _needed(line))]
        (why, _) = Counter(line.why for line in still_open).most_common(1)[0]
        at_all = max(median_low(needed), max(units) + 1) if 2 * len(needed) >= len(still_open) else None
        yield Undecided(measure, len(still_open), len(tested), counted, min(units), max(units), at_all, why)


def _needed(line: VerdictLine) -> int | None:
    """Return the n that would decide a line; where its rounds overlap, that which narrows its interval to the limit."""
    if line.needed or line.counted != "rounds" or not line.low or not line.high or not line.units or not line.limit:
        return line.needed
    half = math.log(line.high / line.low) / 2
    return math.ceil(line.units * (half / math.log1p(line.limit)) ** 2)
