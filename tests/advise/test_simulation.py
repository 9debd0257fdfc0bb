"""Sweeps with a known truth: a variant that truly misses a limit is hardly ever recommended."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.advise.judgement import Status, decided
from bench.advise.limits import Limit
from bench.stats.estimates import percentile_estimate
from bench.stats.proportions import paired_counts, wilson
from tests.advise.made_up import V, advice_of

SWEEPS, WHOLE, MOST = 1000, 300, 0.05
Draw = Callable[[np.random.Generator], Status]
P99 = Limit("latency", "e2e_p99_ms", 200.0, "ms", q=0.99)
SHARE = Limit("quality", "accuracy hr", 0.6, "share", False, task="hr")
KEEPS = Limit("keeps", "accuracy hr", 0.98, "share", False, task="hr", of="fine-tuned")


def latency(rng: np.random.Generator) -> Status:
    """A variant whose true P99 is a hair above 200 ms, 400 requests: log-normal, sd of the log 0.1."""
    true_median = 200.0001 / np.exp(0.1 * 2.3263)
    e = percentile_estimate(true_median * rng.lognormal(0, 0.1, 400), 0.99)
    return decided(P99, e.value, e.low, e.high, e.n, P99.bound).status


def share(rng: np.random.Generator) -> Status:
    """A variant that truly answers 60 % of such questions."""
    e = wilson(int(rng.binomial(400, 0.6)), 400)
    return decided(SHARE, e.value, e.low, e.high, e.n, SHARE.bound).status


def kept(rng: np.random.Generator) -> Status:
    """A quantization that truly loses the margin: 2 % of 92 %, with 5 % of the answers changed; n as in the suite."""
    n, margin, changed = 500, 0.02 * 0.92, 0.05
    lost, gained, _ = rng.multinomial(n, [(changed + margin) / 2, (changed - margin) / 2, 1 - changed])
    reference = rng.binomial(n, 0.92) / n
    change = paired_counts(n, int(gained), int(lost))
    return decided(KEEPS, change.difference, change.low, change.high, n, -0.02 * reference).status


@pytest.mark.parametrize("draw", [latency, share, kept])
def test_a_variant_that_truly_misses_a_limit_is_hardly_ever_passed(draw: Draw) -> None:
    rng = np.random.default_rng(11)
    passed = sum(draw(rng) == "pass" for _ in range(SWEEPS))
    assert passed <= MOST * SWEEPS


def test_a_variant_that_meets_the_limits_by_far_is_recommended_mostly() -> None:
    rng = np.random.default_rng(12)
    e = [wilson(int(rng.binomial(400, 0.75)), 400) for _ in range(SWEEPS)]
    assert sum(decided(SHARE, s.value, s.low, s.high, s.n, 0.6).status == "pass" for s in e) >= 0.95 * SWEEPS


def test_whole_sweeps_do_not_recommend_the_variant_that_truly_loses_the_margin() -> None:
    rng = np.random.default_rng(13)
    wrong = 0
    requirements = {"quality": {"hr": {"keeps": 0.98, "of": "fine-tuned"}}}
    for _ in range(WHOLE):
        f = int(rng.binomial(400, 0.92))
        lost, gained, _ = rng.multinomial(400, [0.0342, 0.0158, 0.95])
        variants = {
            "f": V("tuned", hr=f, ms=None, general=None),
            "fq": V("both", mb=2.5, hr=f, ms=None, general=None, moved=(int(gained), int(lost))),
        }
        advice = advice_of(variants, requirements, rounds=1, questions=400, per=400)
        wrong += advice.ship is not None and advice.ship.name == "fq"
    assert wrong <= MOST * WHOLE
