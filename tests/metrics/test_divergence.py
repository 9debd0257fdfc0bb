"""What the values of a divergence come to: windows are the clusters, tokens are not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bench.metrics.catalogue import metrics_of
from bench.metrics.divergence import windows_of
from bench.records.file import decode, sealed
from bench.records.values import Divergence
from bench.selftest import raw_values, records
from bench.stats.estimates import Estimate


def diverged(measured: dict[str, Any]) -> dict[str, Estimate]:
    """Return what the metrics make of a divergence, by name."""
    content = records.record("q4")
    content["measures"] = {"divergence": measured}
    rounds = [decode(sealed(content).encode())]
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


def test_a_parent_that_is_the_base_has_the_distance_from_the_base() -> None:
    fields = raw_values.divergence(0.02)
    values = diverged({**fields, "parent": fields["base"]})
    for name in ("kl_mean", "kl_p99", "same_top_share"):
        assert values[f"parent_{name}"] == values[name]


def test_another_parent_has_columns_of_its_own_and_no_parent_no_value() -> None:
    fields = raw_values.divergence(0.02)
    nearer = {"parent": "tuned", "parent_kl": [kl / 4 for kl in fields["kl"]], "parent_same_top": "1" * 256}
    values = diverged({**fields, **nearer})
    assert values["kl_mean"] == diverged(fields)["kl_mean"]
    assert values["parent_kl_mean"].value == pytest.approx(values["kl_mean"].value / 4)
    assert values["parent_same_top_share"].value == 1.0
    assert not [name for name in diverged(fields) if name.startswith("parent")]


def test_a_value_from_the_parent_that_is_not_finite_leaves_the_distance_from_the_base_alone() -> None:
    fields = raw_values.divergence(0.02)
    broken = {"parent": "tuned", "parent_kl": [None, *fields["kl"][1:]], "parent_same_top": fields["same_top"]}
    values = diverged({**fields, **broken})
    assert "kl_mean" in values
    assert "parent_kl_mean" not in values
    content = records.record("q4") | {"measures": {"divergence": {**fields, **broken}}}
    counts = {m.name: m.not_finite([decode(sealed(content).encode())]) for m in metrics_of([]) if m.not_finite}
    assert (counts["kl_mean"], counts["parent_kl_mean"]) == (0, 1)


def test_another_parent_without_its_columns_is_no_sound_record() -> None:
    with pytest.raises(msgspec.ValidationError, match="`parent` without `parent_kl`"):
        msgspec.convert({**raw_values.divergence(0.02), "parent": "tuned"}, Divergence)
