"""Ratios beside the base rest on rounds: their interval, the value of each round, and rounds that differ too much."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest

from bench.metrics.metric import Metric
from bench.records.file import decode, sealed
from bench.records.store import read
from bench.records.types import Record
from bench.selftest import records
from bench.summary import pairs
from bench.summary.rows import Summary
from bench.summary.summarize import summarize
from variants.paths import ROOT


def timed(variant: str, ms: Sequence[float], requests: int = 200) -> list[Record]:
    """Make the rounds of a variant whose requests take about these ms, within a percent."""
    made = []
    for number, each in enumerate(ms):
        content = records.record(variant, number, requests=requests)
        e2e = [each * (0.99 + 0.02 * place / requests) for place in range(requests)]
        times = {"ttft_ms": 10, "tpot_ms": 40, "e2e_ms": 1}
        content["measures"]["latency"] |= {name: [one / share for one in e2e] for name, share in times.items()}
        made.append(decode(sealed(content).encode()))
    return made


def sweep(base: Sequence[float], q4: Sequence[float], requests: int = 200) -> Summary:
    return summarize([*timed("base", base, requests), *timed("q4", q4, requests)])


def metric_of(summary: Summary, name: str) -> Metric:
    return next(metric for metric in summary.metrics if metric.name == name)


def test_the_value_of_each_round_is_in_the_row() -> None:
    row = sweep((12.0, 12.4, 11.8), (9.0, 12.2, 9.1)).by_name["q4"]
    assert row.rounds("e2e_p50_ms") == pytest.approx((9.0, 12.2, 9.1), rel=0.01)
    assert row.rounds("tokens_per_s") == pytest.approx([40_000 / ms for ms in (9.0, 12.2, 9.1)], rel=0.01)
    assert row.rounds("size_bytes") == row.rounds("accuracy hr") == ()


def test_rounds_that_differ_leave_a_ratio_open_however_many_requests_they_have() -> None:
    """Resampling its requests alone gives q4 of these rounds an interval from 0.99 to 1.01 times."""
    change = sweep((11.5, 12.5, 11.6), (12.2, 9.0, 9.1), requests=2_000).by_name["q4"].beside_base["e2e_p50_ms"]
    assert change.ratio is not None
    assert change.ratio.low is not None
    assert change.ratio.high is not None
    assert change.ratio.low < 0.9 < 1.3 < change.ratio.high
    assert (change.unsteady, change.shown) == (True, False)
    assert change.rounds_differ == pytest.approx(12.2 / 9.0 - 1, rel=0.01)


def test_steady_rounds_show_what_they_agree_on() -> None:
    change = sweep((12.0, 12.2, 12.1), (8.0, 8.2, 8.1)).by_name["q4"].beside_base["e2e_p50_ms"]
    assert (change.unsteady, change.shown, change.why) == (False, True, "")
    assert [len(side) for side in change.rounds] == [3, 3]


def test_one_round_and_too_few_requests_have_a_ratio_without_an_interval_that_says_why() -> None:
    one = sweep((12.0,), (8.0,)).by_name["q4"].beside_base["e2e_p50_ms"]
    few = sweep((12.0, 12.2), (8.0, 8.1), requests=100).by_name["q4"].beside_base["e2e_p99_ms"]
    assert (one.why, few.why) == ("one round", "n too small")
    for change in (one, few):
        assert change.ratio is not None
        assert change.ratio.value == pytest.approx(1.5, rel=0.03)
        assert (change.ratio.low, change.ratio.high, change.shown) == (None, None, False)


def test_what_the_advice_reads_is_the_ratio_of_the_table() -> None:
    summary = sweep((12.0, 12.4, 11.8), (9.0, 9.4, 9.1))
    base, q4 = (summary.by_name[name] for name in ("base", "q4"))
    for name in ("e2e_p50_ms", "tokens_per_s"):
        assert q4.ratio(name) is not None
        assert pairs.ratio(metric_of(summary, name), base, q4) == q4.ratio(name)
        assert pairs.beside(metric_of(summary, name), base, q4) == q4.beside_base[name]
    p90 = pairs.beside(metric_of(summary, "e2e_p90_ms"), base, q4)  # beside the base it is shown alone
    assert p90 is not None
    assert p90.shown
    assert pairs.every_round_shows(metric_of(summary, "e2e_p50_ms"), base, q4)


def test_equal_variants_of_a_drifting_machine_are_seldom_shown_to_differ() -> None:
    rng = np.random.default_rng(8)
    shown = 0
    for _ in range(60):
        base, q4 = (list(10 * np.exp(rng.normal(0, 0.1, 3))) for _ in range(2))
        shown += sweep(base, q4, requests=20).by_name["q4"].beside_base["e2e_p50_ms"].shown
    assert shown <= 6


def test_two_shipped_sweeps_of_one_variant_seldom_exclude_each_other() -> None:
    """Of intervals that resample requests 29 of 39 pairs did: each "95 %" interval denied what another sweep found."""
    sweeps: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in read(ROOT / "results")[0]:
        if record.sweep == "embedded-reference":
            sweeps[record.machine.id, record.label].append(record)
    excluded = total = 0
    for one, other in itertools.combinations([summarize(cells).by_name for cells in sweeps.values()], 2):
        for name in one.keys() & other.keys():
            rows = one[name], other[name]
            a, b = (row.ratio("e2e_p50_ms") for row in rows)
            same = len({row.records[0].fingerprint for row in rows}) == 1
            if a and b and a.low and a.high and b.low and b.high and same:
                total += 1
                excluded += a.high < b.low or b.high < a.low
    if not total:
        pytest.skip("results/ holds no two embedded sweeps of one model")
    assert excluded <= 0.15 * total
