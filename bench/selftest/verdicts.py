"""How often the comparison is wrong, and how often it finds what is there: pairs of commits made up from a seed.

The noise is that of a quiet machine, stated in `Noise`; the verdicts are those of `bench compare`, on arrays.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.compare.effects import Effect, accuracy_effect, rounds_effect
from bench.compare.verdict import holm_by_family, judge, judge_size
from bench.metrics.metric import SHARES
from bench.stats.proportions import paired_counts
from bench.stats.rounds import Rounds, compare_rounds

SIZE_BYTES, PEAK_BYTES, E2E_MS = 2_300_000, 75e6, 10.0
VariantMetric = tuple[int, str]
"""The number of a variant, and a metric."""


@dataclass(frozen=True)
class Noise:
    """What differs between two sweeps of the same thing; `_sd` are standard deviations of a log.

    Of the spread of rounds, `shared` is the part that all variants of a round have in common. `sweep_sd` is a shift of
    a whole sweep, which no test on its rounds can see: the canary is there for it. Some requests stall.
    """

    round_sd: float = 0.015
    shared: float = 0.5
    request_sd: float = 0.13
    stalled: float = 0.02
    memory_sd: float = 0.005
    flips: float = 0.05
    sweep_sd: float = 0.0


@dataclass(frozen=True)
class Grid:
    """The table that is simulated: variants, rounds, requests a round, tasks and the questions of each."""

    variants: int = 12
    rounds: int = 3
    requests: int = 200
    tasks: int = 1
    questions: int = 1000


@dataclass(frozen=True)
class Planted:
    """What is really worse in the head, by variant: a factor on latencies, a loss of accuracy, bytes."""

    slower: Mapping[int, float] = field(default_factory=dict)
    accuracy: Mapping[int, float] = field(default_factory=dict)
    size_bytes: Mapping[int, int] = field(default_factory=dict)

    def has(self, tested: VariantMetric) -> bool:
        """Say whether a metric of a variant is really worse."""
        variant, metric = tested
        if metric.startswith("accuracy"):
            return variant in self.accuracy
        return variant in (self.size_bytes if metric == "size_bytes" else self.slower if metric in SHARES else {})


@dataclass(frozen=True)
class Rates:
    """Over `pairs` pairs of commits: those with a false `worse` anywhere, and how often each metric was `worse`."""

    pairs: int
    false_worse: int
    worse: Counter[VariantMetric]


def simulate(
    pairs: int, seed: int, grid: Grid = Grid(), noise: Noise = Noise(), planted: Planted = Planted()
) -> Rates:  # fmt: skip
    """Compare that many pairs of made-up commits."""
    rng = np.random.default_rng(seed)
    false_worse, counts = 0, Counter[VariantMetric]()
    for _ in range(pairs):
        worse = _worse(rng, grid, noise, planted)
        counts.update(worse)
        false_worse += any(not planted.has(one) for one in worse)
    return Rates(pairs, false_worse, counts)


def _worse(rng: np.random.Generator, grid: Grid, noise: Noise, planted: Planted) -> list[VariantMetric]:
    """Return the metrics of one pair of commits whose verdict is `worse`."""
    effects: dict[VariantMetric, Effect] = {}
    factors = np.array([planted.slower.get(variant, 1.0) for variant in range(grid.variants)])
    before, after = _latencies(rng, grid, noise, np.ones(grid.variants)), _latencies(rng, grid, noise, factors)
    peaks = [PEAK_BYTES * rng.lognormal(0, noise.memory_sd, (grid.variants, grid.rounds, 1)) for _ in range(2)]
    measured = {**dict.fromkeys(SHARES, (before, after)), "peak_resident_bytes": (peaks[0], peaks[1])}
    for metric, (base, head) in measured.items():
        sides: dict[str, tuple[Rounds, Rounds]] = {
            str(variant): (list(base[variant]), list(head[variant])) for variant in range(grid.variants)
        }
        for name, change in compare_rounds(sides, SHARES.get(metric, 0.5)).items():
            effects[int(name), metric] = rounds_effect(change, metric)
    for variant in range(grid.variants):
        drop = planted.accuracy.get(variant, 0.0)
        shares = [(noise.flips - drop) / 2, (noise.flips + drop) / 2, 1 - noise.flips]
        for task in range(grid.tasks):
            gained, lost, _ = rng.multinomial(grid.questions, shares)
            paired = paired_counts(grid.questions, int(gained), int(lost))
            effects[variant, f"accuracy {task}"] = accuracy_effect(paired)
    adjusted, _ = holm_by_family(list(effects.values()))
    worse = [
        tested for (tested, effect), p in zip(effects.items(), adjusted, strict=True) if judge(effect, p) == "worse"
    ]
    sizes = {v: judge_size(SIZE_BYTES, SIZE_BYTES + planted.size_bytes.get(v, 0)) for v in range(grid.variants)}
    return worse + [(variant, "size_bytes") for variant, verdict in sizes.items() if verdict == "worse"]


def _latencies(
    rng: np.random.Generator, grid: Grid, noise: Noise, factors: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """Make latencies in ms, shape (variants, rounds, requests)."""
    shape = (grid.variants, grid.rounds, grid.requests)
    common, own = rng.normal(0, 1, (1, grid.rounds)), rng.normal(0, 1, shape[:2])
    spell = noise.round_sd * (math.sqrt(noise.shared) * common + math.sqrt(1 - noise.shared) * own)
    logs = spell[:, :, None] + rng.normal(0, noise.request_sd, shape) + rng.normal(0, noise.sweep_sd)
    stalls = 1 + (rng.random(shape) < noise.stalled) * rng.exponential(0.5, shape)
    latencies: NDArray[np.float64] = E2E_MS * factors[:, None, None] * np.exp(logs) * stalls
    return latencies
