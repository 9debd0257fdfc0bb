"""Sweeps with a known truth: a variant that truly misses a limit is hardly ever passed, and so hardly ever shipped."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from bench.advise.judgement import Status, by_rounds, decided
from bench.advise.limits import Limit
from bench.stats.estimates import normal_quantile, percentile, percentile_estimate
from bench.stats.proportions import paired_counts, wilson
from bench.stats.rounds import spreads
from bench.summary.rows import InRounds
from tests.advise.made_up import V, advice_of

SWEEPS, WHOLE, MOST = 1000, 300, 0.05
Draw = Callable[[np.random.Generator], Status]
P50 = Limit("latency", "e2e_p50_ms", 200.0, "ms", q=0.5)
P99 = Limit("latency", "e2e_p99_ms", 200.0, "ms", q=0.99)
SHARE = Limit("quality", "accuracy hr", 0.6, "share", False, task="hr")
KEEPS = Limit("keeps", "accuracy hr", 0.98, "share", False, task="hr", of="fine-tuned")
FORGOTTEN = Limit("not forgotten", "accuracy general", 0.02, "share", False, task="general", of="base")
ROUNDS, REQUESTS, VARIANTS = 3, 134, 8
NOISE, SPELL = 0.10, 0.15
"""Standard deviations of the log of a latency: from request to request, and from round to round (up to 40 %)."""


def timed(rng: np.random.Generator, q: float, ms: float) -> list[list[float]]:
    """Return rounds of log-normal requests; the percentile of a round that is neither slow nor quick is `ms`."""
    median = math.log(ms) - normal_quantile(q) * NOISE
    spells = rng.normal(0, SPELL, ROUNDS)
    return [np.exp(median + spell + rng.normal(0, NOISE, REQUESTS)).tolist() for spell in spells]


def latency(rng: np.random.Generator, limit: Limit, ms: float = 200.0001, variants: int = VARIANTS) -> Status:
    """Judge a variant that is truly a hair slower than the limit, among others on the same machine."""
    assert limit.q is not None
    blocks = {"judged": timed(rng, limit.q, ms)}
    blocks |= {f"other {i}": timed(rng, limit.q, 150.0) for i in range(variants - 1)}
    e = percentile_estimate(np.concatenate(blocks["judged"]), limit.q)
    by_requests = decided(limit, e.value, e.low, e.high, e.n, limit.bound)
    spread = spreads(blocks, limit.q)["judged"]
    rounds = tuple(percentile(block, limit.q) for block in blocks["judged"])
    return by_rounds(by_requests, InRounds(rounds, spread)).status


def p99(rng: np.random.Generator) -> Status:
    return latency(rng, P99)


def p50(rng: np.random.Generator) -> Status:
    return latency(rng, P50)


def p99_alone(rng: np.random.Generator) -> Status:
    return latency(rng, P99, variants=1)


def share(rng: np.random.Generator) -> Status:
    """Judge a variant that truly answers 60 % of such questions."""
    e = wilson(int(rng.binomial(400, 0.6)), 400)
    return decided(SHARE, e.value, e.low, e.high, e.n, SHARE.bound).status


def loss(rng: np.random.Generator, margin: float, n: int = 500, changed: float = 0.05) -> tuple[int, int, int]:
    """Return n, gained and lost of a variant that truly loses the margin; n and what changes are as in the suite."""
    lost, gained, _ = rng.multinomial(n, [(changed + margin) / 2, (changed - margin) / 2, 1 - changed])
    return n, int(gained), int(lost)


def kept(rng: np.random.Generator) -> Status:
    """Judge a quantization that truly loses 2 % of 92 %; its margin is taken from the measured 92 %."""
    change = paired_counts(*loss(rng, 0.02 * 0.92))
    reference = rng.binomial(change.n, 0.92) / change.n
    return decided(KEEPS, change.difference, change.low, change.high, change.n, -0.02 * reference).status


def forgotten(rng: np.random.Generator) -> Status:
    """Judge a fine-tune that truly forgets 2 points of what the base knew."""
    change = paired_counts(*loss(rng, 0.02))
    return decided(FORGOTTEN, change.difference, change.low, change.high, change.n, -FORGOTTEN.bound).status


@pytest.mark.parametrize("draw", [p99, p50, p99_alone, share, kept, forgotten])
def test_a_variant_that_truly_misses_a_limit_is_hardly_ever_passed(draw: Draw) -> None:
    rng = np.random.default_rng(11)
    passed = sum(draw(rng) == "pass" for _ in range(SWEEPS))
    assert passed <= MOST * SWEEPS


def quick(rng: np.random.Generator) -> Status:
    return latency(rng, P99, ms=100.0)


def often_right(rng: np.random.Generator) -> Status:
    e = wilson(int(rng.binomial(400, 0.75)), 400)
    return decided(SHARE, e.value, e.low, e.high, e.n, SHARE.bound).status


@pytest.mark.parametrize("draw", [quick, often_right])
def test_a_variant_that_meets_a_limit_by_far_mostly_passes(draw: Draw) -> None:
    rng = np.random.default_rng(12)
    assert sum(draw(rng) == "pass" for _ in range(WHOLE)) >= (1 - MOST) * WHOLE


def test_requests_alone_would_be_too_sure() -> None:
    """The same sweeps judged as if each request were another day: a third of them pass, and a third fail."""
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(WHOLE):
        e = percentile_estimate(np.concatenate(timed(rng, 0.5, 200.0001)), 0.5)
        wrong += decided(P50, e.value, e.low, e.high, e.n, P50.bound).status == "pass"
    assert wrong > 5 * MOST * WHOLE


def test_whole_sweeps_do_not_recommend_the_variant_that_truly_loses_the_margin() -> None:
    rng = np.random.default_rng(13)
    wrong = 0
    requirements = {"quality": {"hr": {"keeps": 0.98, "of": "fine-tuned"}}}
    for _ in range(SWEEPS):
        f = int(rng.binomial(400, 0.92))
        lost, gained, _ = rng.multinomial(400, [0.0342, 0.0158, 0.95])
        variants = {
            "f": V("tuned", hr=f, ms=None, general=None),
            "fq": V("both", mb=2.5, hr=f, ms=None, general=None, moved=(int(gained), int(lost))),
        }
        advice = advice_of(variants, requirements, rounds=1, questions=400, per=400)
        wrong += advice.ship is not None and advice.ship.name == "fq"
    assert wrong <= MOST * SWEEPS
