"""What the values of a divergence come to: windows are the clusters, tokens are not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from bench.metrics.catalogue import metrics_of
from bench.metrics.divergence import windows_of
from bench.records.file import decode
from bench.records.values import Divergence
from bench.selftest import raw_values, records
from bench.stats.estimates import Estimate


def diverged(measured: dict[str, Any]) -> dict[str, Estimate]:
    """Return what the metrics make of a divergence, by name."""
    content = records.record("q4")
    content["measures"] = {"divergence": measured}
    rounds = [decode(json.dumps(content).encode())]
    return {metric.name: value for metric in metrics_of(rounds) if (value := metric.value(rounds))}


def test_divergence_takes_windows_as_clusters() -> None:
    raw = raw_values.divergence(0.02, windows=8, window=32)
    values = diverged(raw)
    assert values["kl_mean"].n == 8
    assert values["kl_p99"].n == 256
    assert values["kl_mean"].value == pytest.approx(sum(raw["kl"]) / 256)
    assert values["kl_p99"].value == sorted(raw["kl"])[253]
    assert values["same_top_share"].value == pytest.approx(raw["same_top"].count("1") / 256)
    cut = {**raw, **{key: raw[key][:200] for key in ("kl", "same_top", "nll", "base_nll")}}
    assert windows_of(msgspec.convert(cut, Divergence)) == diverged(cut)["kl_mean"].n == 7
    assert diverged(cut)["kl_mean"].value == pytest.approx(sum(raw["kl"][:200]) / 200)


def test_tokens_that_all_agree_have_no_interval_rather_than_one_of_no_width() -> None:
    same = diverged({**raw_values.divergence(0.02), "same_top": "1" * 256})["same_top_share"]
    assert (same.value, same.low, same.high) == (1.0, None, None)
