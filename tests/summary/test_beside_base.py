"""A variant beside its base: only where both answered the same questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records.store import read
from bench.selftest import records
from bench.summary import pairs
from bench.summary.summarize import summarize


def test_other_questions_are_never_compared(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: records.VARIANTS[name] for name in ("base", "q4")}, rounds=1)
    content = records.record("q4")
    content["measures"]["accuracy"]["hr"]["prompt_sha256"] = "another prompt"
    records.write(tmp_path, content)
    q4 = summarize(read(tmp_path)[0]).by_name["q4"]
    assert q4.paired("accuracy hr") is None
    assert q4.paired("accuracy general") is not None


def test_tokens_per_second_beside_the_base_are_as_much_better_as_a_token_is_quicker(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: records.VARIANTS[name] for name in ("base", "q4")}, rounds=2)
    summary = summarize(read(tmp_path)[0])
    by_name, metrics = summary.by_name, {metric.name: metric for metric in summary.metrics}
    rates, times = (by_name["q4"].ratio(name) for name in ("tokens_per_s", "tpot_p50_ms"))
    assert rates is not None
    assert times is not None
    assert (rates.value, rates.low, rates.high) == pytest.approx((times.value, times.low, times.high))
    more = pairs.ratio(metrics["tokens_per_s"], by_name["base"], by_name["q4"])
    assert more is not None
    assert more.value == pytest.approx(times.value)
    assert more.low is not None
    assert more.low > 1
