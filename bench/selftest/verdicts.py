"""How often verdicts are wrong, and how often they find a change that is there, over pairs of made-up commits.

The noise is that of a quiet machine, stated in `Noise`; the verdicts are those of `bench compare`, on arrays.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.compare.effects import Effect, questions_effect, rounds_effect
from bench.compare.verdict import holm_by_family, judge, judge_exact
from bench.metrics.catalogue import templates
from bench.metrics.metric import Metric, Rounds
from bench.records.file import decode, sealed
from bench.selftest import records
from bench.stats.proportions import paired_counts
from bench.stats.rounds import compare_rounds

SIZE_BYTES, PEAK_BYTES, E2E_MS, OUTPUT_TOKENS, PREFILL = 2_300_000, 75e6, 10.0, 32, 0.25
"""A small model: its size, its peak of memory, a request, its tokens, and the part of it that reads the prompt."""
Place = tuple[int, str]
"""The number of a variant, and a metric."""
Samples = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""By column the values of both sides, shape (variants, rounds, requests)."""


@dataclass(frozen=True)
class Noise:
    """What differs between two sweeps of the same thing; `_sd` are standard deviations of a log.

    Of the spread of rounds, `shared` is the part that all variants of a round have in common. `sweep_sd` is a shift of
    a whole sweep, which no test on its rounds can see: the canary is there for it. Some requests stall. `prefill_sd`
    is how much the part of a request that reads the prompt moves by itself, from round to round and again from
    request to request.
    """

    round_sd: float = 0.015
    shared: float = 0.5
    request_sd: float = 0.13
    stalled: float = 0.02
    memory_sd: float = 0.005
    flips: float = 0.05
    sweep_sd: float = 0.0
    prefill_sd: float = 0.05


@dataclass(frozen=True)
class Design:
    """What is simulated: variants, rounds, requests a round, tasks and the questions of each."""

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

    def has(self, place: Place) -> bool:
        """Say whether a metric of a variant is really worse."""
        variant, metric = place
        measure = BY_NAME[metric.partition(" ")[0]].measure
        planted = {"accuracy": self.accuracy, "size": self.size_bytes, "latency": self.slower}
        return variant in planted.get(measure, {})


@dataclass(frozen=True)
class Rates:
    """Over `pairs` pairs of commits: those with a false `worse` anywhere, and how often each was judged `worse`."""

    pairs: int
    false_worse: int
    worse: Counter[Place]


BY_NAME = {metric.kind: metric for metric in templates() if metric.test}
ACCURACY, SIZE = BY_NAME["accuracy"], BY_NAME["size_bytes"]


def simulate(
    pairs: int, seed: int, design: Design = Design(), noise: Noise = Noise(), planted: Planted = Planted()
) -> Rates:  # fmt: skip
    """Compare that many pairs of made-up commits."""
    rng = np.random.default_rng(seed)
    false_worse, counts = 0, Counter[Place]()
    for _ in range(pairs):
        worse = _worse(rng, design, noise, planted)
        counts.update(worse)
        false_worse += any(not planted.has(place) for place in worse)
    return Rates(pairs, false_worse, counts)


def _worse(rng: np.random.Generator, design: Design, noise: Noise, planted: Planted) -> list[Place]:
    """Return the metrics of one pair of commits that are judged to be worse."""
    effects = dict([*_of_rounds(rng, design, noise, planted), *_of_questions(rng, design, noise, planted)])
    adjusted, _ = holm_by_family(list(effects.values()))
    worse = [place for (place, effect), p in zip(effects.items(), adjusted, strict=True) if judge(effect, p) == "worse"]
    sizes = {v: SIZE_BYTES + planted.size_bytes.get(v, 0) for v in range(design.variants)}
    larger = [v for v, size in sizes.items() if judge_exact(SIZE_BYTES, size, limit=SIZE.limit) == "worse"]
    return worse + [(variant, SIZE.name) for variant in larger]


def _of_rounds(
    rng: np.random.Generator, design: Design, noise: Noise, planted: Planted
) -> Iterator[tuple[Place, Effect]]:  # fmt: skip
    """Yield the effect on each percentile of a latency, and on the peak of memory."""
    columns = _samples(rng, design, noise, planted)
    for metric, sample in _tested_over_rounds():
        base, head = columns[sample.column]
        sides = {str(variant): (list(base[variant]), list(head[variant])) for variant in range(design.variants)}
        for name, change in compare_rounds(sides, sample.q).items():
            yield (int(name), metric.name), rounds_effect(metric, sample, change, metric.limit)


@cache
def _tested_over_rounds() -> list[tuple[Metric, Rounds]]:
    """Return the metrics that are tested over rounds, each with what its sample of one made-up record looks like."""
    one = [decode(sealed(records.record("q4")).encode())]
    samples = [(metric, metric.sample(one)) for metric in BY_NAME.values() if metric.test == "rounds" and metric.sample]
    return [(metric, sample) for metric, sample in samples if isinstance(sample, Rounds)]


def _of_questions(
    rng: np.random.Generator, design: Design, noise: Noise, planted: Planted
) -> Iterator[tuple[Place, Effect]]:  # fmt: skip
    """Yield the effect on the share of right answers to each task."""
    for variant in range(design.variants):
        drop = planted.accuracy.get(variant, 0.0)
        shares = [(noise.flips - drop) / 2, (noise.flips + drop) / 2, 1 - noise.flips]
        for task in range(design.tasks):
            gained, lost, _ = rng.multinomial(design.questions, shares)
            change = paired_counts(design.questions, int(gained), int(lost))
            yield (variant, f"{ACCURACY.kind} {task}"), questions_effect(ACCURACY, change, ACCURACY.limit)


def _samples(rng: np.random.Generator, design: Design, noise: Noise, planted: Planted) -> Samples:
    """Make the values of every column on both sides: latencies in ms, peaks in bytes."""
    factors = np.array([planted.slower.get(variant, 1.0) for variant in range(design.variants)])
    e2e = _latencies(rng, design, noise, np.ones(design.variants)), _latencies(rng, design, noise, factors)
    first, second = (
        PEAK_BYTES * rng.lognormal(0, noise.memory_sd, (design.variants, design.rounds, 1)) for _ in range(2)
    )
    ttft = _prefill(rng, noise, e2e[0]), _prefill(rng, noise, e2e[1])
    tpot = (e2e[0] - ttft[0]) / (OUTPUT_TOKENS - 1), (e2e[1] - ttft[1]) / (OUTPUT_TOKENS - 1)
    return {"e2e_ms": e2e, "peak_resident_bytes": (first, second), "ttft_ms": ttft, "tpot_ms": tpot}


def _latencies(
    rng: np.random.Generator, design: Design, noise: Noise, factors: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """Make latencies in ms, shape (variants, rounds, requests)."""
    shape = (design.variants, design.rounds, design.requests)
    common, own = rng.normal(0, 1, (1, design.rounds)), rng.normal(0, 1, shape[:2])
    spell = noise.round_sd * (math.sqrt(noise.shared) * common + math.sqrt(1 - noise.shared) * own)
    logs = spell[:, :, None] + rng.normal(0, noise.request_sd, shape) + rng.normal(0, noise.sweep_sd)
    stalls = 1 + (rng.random(shape) < noise.stalled) * rng.exponential(0.5, shape)
    latencies: NDArray[np.float64] = E2E_MS * factors[:, None, None] * np.exp(logs) * stalls
    return latencies


def _prefill(rng: np.random.Generator, noise: Noise, e2e: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of each latency that reads the prompt, which moves by itself too."""
    moves = rng.normal(0, noise.prefill_sd, (*e2e.shape[:2], 1)) + rng.normal(0, noise.prefill_sd, e2e.shape)
    ttft: NDArray[np.float64] = PREFILL * e2e * np.exp(moves)
    return ttft
