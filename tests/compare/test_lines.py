"""The lines of a comparison: which are asked for, their limits, and what is reported of artifacts."""

from __future__ import annotations

from typing import Any

import pytest

from bench.compare.lines import Asked
from bench.selftest import records
from tests.checkout import GENERAL, SIZE, TPOT, Checkout, q4, set_in
from tests.compare.conftest import diverging, rebuilt
from variants.errors import UserError


def test_another_artifact_under_the_same_name_is_reported_as_changed_and_still_compared(checkout: Checkout) -> None:
    def rebuilt(content: dict[str, Any]) -> None:
        content["artifact"]["fingerprint"] = content["lineage"][-1]["fingerprint"] = "another"

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, rebuilt, **q4(size=SIZE + 1000))
    lines = checkout.lines()
    assert {line.artifact for line in lines.values()} == {"changed"}
    assert lines["size_bytes"].verdict == "worse"
    checkout.measure(checkout.head)
    assert {line.artifact for line in checkout.compare().lines} == {"same"}


def test_a_changed_recipe_is_reported_as_changed_and_its_effect_has_a_verdict(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, rebuilt, **q4(general=GENERAL - 0.1))
    lines = checkout.lines()
    assert (lines["artifact"].verdict, lines["artifact"].why) == ("changed", "q4.type none → Q4_K_S")
    worse = lines["accuracy general"]
    assert (worse.verdict, worse.test, worse.n) == ("worse", "exact McNemar", 400)
    assert worse.p is not None
    assert worse.p < 0.001
    assert checkout.compare().exit_code == 1


def test_a_change_that_moves_no_number_is_no_regression(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, rebuilt)
    assert checkout.verdicts()["artifact"] == "changed"
    assert checkout.compare().exit_code == 0


def test_other_tensor_types_are_changed_and_not_worse(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, set_in("measures", "size", "tensor_types", value={"F16": 29, "F32": 10}))
    line = checkout.lines()["tensor_types"]
    assert (line.verdict, line.base, line.head) == ("changed", "30 F16, 9 F32", "29 F16, 10 F32")
    assert checkout.compare().exit_code == 0


def test_filters_choose_lines_and_what_holm_counts(checkout: Checkout) -> None:
    for sha in (checkout.base, checkout.head):
        checkout.measure(sha)
        for name in ("base", "q8"):
            commit = {"sha": sha, "dirty": False, "tree": "clean"}
            records.write(checkout.results, {**records.record(name), "commit": commit})
    asked = Asked(variants=("q4",), metrics=("accuracy", "e2e_p50_ms"))
    comparison = checkout.compare(asked=asked)
    assert [(line.variant, line.metric) for line in comparison.lines] == [
        ("q4", "e2e_p50_ms"),
        ("q4", "accuracy general"),
        ("q4", "accuracy hr"),
    ]
    assert comparison.families == {"latency": 1}
    assert {line.metric for line in checkout.compare(asked=Asked(metrics=("accuracy hr",))).lines} == {"accuracy hr"}


@pytest.mark.parametrize(("limit", "verdict"), [(0.05, "worse"), (0.30, "same")])
def test_the_limit_of_what_matters_can_be_set(checkout: Checkout, limit: float, verdict: str) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(tpot=1.2 * TPOT))
    comparison = checkout.compare(asked=Asked(thresholds={"e2e_p50_ms": limit}))
    assert {line.metric: line.verdict for line in comparison.lines}["e2e_p50_ms"] == verdict


def test_a_metric_is_chosen_by_its_name_its_kind_or_its_measure(checkout: Checkout) -> None:
    for sha in (checkout.base, checkout.head):
        checkout.measure(sha, diverging(0.02))

    def metrics(*names: str) -> set[str]:
        return {line.metric for line in checkout.compare(asked=Asked(metrics=names)).lines}

    assert metrics("accuracy hr", "memory") == {"accuracy hr", "peak_resident_bytes"}
    assert metrics("divergence") == {"kl_mean", "perplexity"}
    assert metrics("size") == {"size_bytes", "tensor_types"}
    assert len(metrics("latency")) == 7


@pytest.mark.parametrize("asked", [Asked(metrics=("divergence",)), Asked()])
def test_what_neither_side_measured_is_not_comparable(checkout: Checkout, asked: Asked) -> None:
    nothing: dict[str, Any] = (
        {} if asked.metrics else {"artifact": None, "lineage": [], "status": "failed", "measures": {}}
    )
    for sha in (checkout.base, checkout.head):
        checkout.measure(sha, lambda content: content.update(nothing))
    comparison = checkout.compare(asked=asked)
    assert [line.verdict for line in comparison.lines] == ["not comparable"]
    assert comparison.exit_code == 2


def test_a_variant_that_neither_side_has_is_a_mistake(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    with pytest.raises(UserError, match="--variant: no records of q9; choose of: q4"):
        checkout.compare(asked=Asked(variants=("q4", "q9")))
