"""Change points of a short and noisy series: where its level moved, and how sure that is.

Every stretch of a fixed set is searched for the split that separates its two sides best. The stretches are those
of seeded binary segmentation (Kovács, Bühlmann, Li and Munk 2023, Biometrika 110:249): a regression that was fixed
again, which a search over the whole series averages away, fills one of them. The test is the two-sample t at the
best split (Worsley 1979, JASA 74:365); its p is multiplied by the number of all splits that were looked at in all
series of the page (Bonferroni), so that a page of nothing but noise shows a change point in at most `ALPHA` of cases.
Slow drift of a machine is not noise of this kind: it looks like a change, and nothing here can tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
LEAST = 3
"""Points that a level needs, and that have to agree on each side of a change: one or two slow commits are none."""

TINY = 1e-24
"""A variance that stands for none: values that never differ on either side of a change."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """A change of level before the point at `place`: `difference` with its 95 % interval, `p` adjusted for the page."""

    place: int
    difference: float
    low: float
    high: float
    p: float


def splits_of(n: int) -> int:
    """Return in how many ways the search splits a series of n points."""
    return sum(len(starts) * (length - 2 * LEAST + 1) for length, starts in _stretches(n))


def find_shifts(
    values: Sequence[float] | Numbers, weights: Sequence[float] | Numbers, threshold: float, splits: int
) -> list[Shift]:
    """Return the changes of level in a series, by place.

    `weights` say how much a point counts beside the others (inverse variance), `threshold` is the smallest change
    that matters, in the unit of `values`, and `splits` is the sum of `splits_of` over all series looked at.
    """
    x = np.asarray(values, dtype=float)
    if np.ptp(x) <= threshold:
        return []
    x = x - np.median(x)
    w = np.asarray(weights, dtype=float)
    places: dict[int, float] = {}
    todo = [(0, len(x))]
    while todo:
        start, stop = todo.pop()
        p, place = _best_split(x[start:stop], w[start:stop], threshold)
        if place and p * splits <= ALPHA:
            # What is left of a series is searched again: its stretches are not those of the whole.
            places[start + place] = p * splits
            todo += [(start, start + place), (start + place, stop)]
    return _confirm(x, w, places, threshold)


@lru_cache(maxsize=64)
def _stretches(n: int) -> list[tuple[int, NDArray[np.intp]]]:
    """Return the stretches searched: lengths that shrink by the root of two, each with its overlapping starts."""
    layers = []
    pieces = 1.0
    while (length := math.ceil(n / pieces)) >= 2 * LEAST:
        starts = np.linspace(0, n - length, 2 * math.ceil(pieces) - 1)
        layers.append((length, np.unique(starts.round().astype(np.intp))))
        pieces *= math.sqrt(2)
    return layers


def _best_split(x: Numbers, w: Numbers, threshold: float) -> tuple[float, int]:
    """Return the smallest p over all admissible splits of all stretches and its place, 0 where there is none."""
    return min(
        (_best_of_length(x, w, length, starts, threshold) for length, starts in _stretches(len(x))), default=(1.0, 0)
    )


def _best_of_length(
    x: Numbers, w: Numbers, length: int, starts: NDArray[np.intp], threshold: float
) -> tuple[float, int]:
    from scipy.special import stdtr

    window = starts[:, None] + np.arange(length)
    split = np.arange(LEAST, length - LEAST + 1)
    sums = [np.cumsum(part, axis=1) for part in (w[window], (w * x)[window], (w * x * x)[window])]
    left = [part[:, split - 1] for part in sums]
    right = [part[:, -1:] - side for part, side in zip(sums, left, strict=True)]
    before, after = (side[1] / side[0] for side in (left, right))
    squares = sum(side[2] - side[1] ** 2 / side[0] for side in (left, right))
    error = np.sqrt(np.maximum(squares, TINY) / (length - 2) * (1 / left[0] + 1 / right[0]))
    places = starts[:, None] + split
    t = np.where(_admissible(x, places, before, after, threshold), np.abs(after - before) / error, 0.0)
    best = int(t.argmax())
    return float(2 * stdtr(length - 2, -t.flat[best])), int(places.flat[best])


def _admissible(
    x: Numbers, places: NDArray[np.intp], before: Numbers, after: Numbers, threshold: float
) -> NDArray[np.bool_]:
    """Say where the change is large enough, and the nearest points of each side lie on their side of its middle."""
    near = np.lib.stride_tricks.sliding_window_view(x, LEAST)
    lowest, highest = near.min(axis=1), near.max(axis=1)
    middle = (before + after) / 2
    up = (highest[places - LEAST] < middle) & (lowest[places] > middle)
    down = (lowest[places - LEAST] > middle) & (highest[places] < middle)
    allowed: NDArray[np.bool_] = (up | down) & (np.abs(after - before) > threshold)
    return allowed


def _confirm(x: Numbers, w: Numbers, places: dict[int, float], threshold: float) -> list[Shift]:
    """Measure each change between the whole levels on its two sides; the least of those too small goes first."""
    while places:
        edges = [0, *sorted(places), len(x)]
        shifts = [
            Shift(place, *_difference(x, w, start, place, stop), places[place])
            for start, place, stop in zip(edges, edges[1:], edges[2:], strict=False)
        ]
        least = min(shifts, key=lambda shift: abs(shift.difference))
        if abs(least.difference) > threshold:
            return shifts
        del places[least.place]
    return []


def _difference(x: Numbers, w: Numbers, start: int, place: int, stop: int) -> tuple[float, float, float]:
    """Return the difference of the levels after and before a place, with its two-sample t interval."""
    from scipy.special import stdtrit

    sides = [(x[start:place], w[start:place]), (x[place:stop], w[place:stop])]
    means = [float(np.average(part, weights=weight)) for part, weight in sides]
    squares = sum(float(weight @ (part - mean) ** 2) for (part, weight), mean in zip(sides, means, strict=True))
    error = np.sqrt(squares / (stop - start - 2) * sum(1 / weight.sum() for _, weight in sides))
    half = float(stdtrit(stop - start - 2, 0.975) * error)
    difference = means[1] - means[0]
    return difference, difference - half, difference + half
