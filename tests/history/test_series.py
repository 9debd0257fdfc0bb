"""The series of a variant and a metric: the values of its points, and what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.selftest import raw_values
from tests.branch import Branch


@pytest.mark.parametrize(
    ("metric", "change", "why"),
    [
        ("e2e_p50_ms", lambda c: c["measures"].get("latency", {}).update(output_tokens=64), "output_tokens: 32 / 64"),
        (
            "accuracy hr",
            lambda c: "accuracy" in c["measures"] and c["measures"]["accuracy"]["hr"].update(version=2),
            "hr version: 1 / 2",
        ),
        (
            "accuracy hr",
            lambda c: "accuracy" in c["measures"] and c["measures"]["accuracy"]["hr"].update(truncated=3),
            "hr truncated: 0 / 3",
        ),
        ("size_bytes", lambda c: c["lineage"][0].update(fingerprint="another"), "model: source / another"),
    ],
)
def test_another_workload_task_or_model_breaks_the_series(
    branch: Branch, metric: str, change: Callable[[dict[str, Any]], Any], why: str
) -> None:
    branch.measure(range(16), lambda p: 1.5 if p >= 8 else 1.0, lambda p, content: change(content) if p >= 8 else None)
    series = branch.series(metric)
    assert [len(stretch) for stretch in series.stretches] == [8, 8]
    assert why in series.breaks[0]
    assert series.changes == ()
    assert len(branch.series("tpot_p50_ms" if metric == "accuracy hr" else "accuracy general").changes) == (
        1 if metric == "accuracy hr" else 0
    )


def test_divergences_over_another_text_break_the_series(branch: Branch) -> None:
    def diverge(place: int, content: dict[str, Any]) -> None:
        text = {} if place < 2 else {"text": "another"}
        content["measures"]["divergence"] = {**raw_values.divergence(0.02 if place < 2 else 0.03), **text}

    branch.measure(range(4), change=diverge)
    series = branch.series("kl_mean")
    assert (series.breaks, series.changes) == (("divergence text: 7e577e577e57 / another",), ())


def test_a_series_breaks_though_the_commit_in_between_does_not_say(branch: Branch) -> None:
    def prompts(place: int, content: dict[str, Any]) -> None:
        if place == 1:  # only the first round was measured
            content["measures"].pop("latency") if content["round"] else None
        if place == 2 and content["round"] == 1:
            content["measures"]["latency"]["prompt_tokens"] = [1] * 60

    branch.measure(range(3), change=prompts)
    series = branch.series("e2e_p50_ms")
    assert [len(stretch) for stretch in series.stretches] == [2, 1]
    assert series.breaks[0].startswith("requests of round 1, 1 to 25: ")


def test_the_peak_of_memory_is_that_of_the_largest_round(branch: Branch) -> None:
    def peaks(place: int, content: dict[str, Any]) -> None:
        content["measures"]["memory"]["peak_resident_bytes"] = (70_000_000, 100_000_000)[content["round"]]

    branch.measure([0, 1], change=peaks)
    assert [point.value.value for point in branch.series("peak_resident_bytes").points] == [100_000_000] * 2


def test_what_a_failed_cell_measured_before_it_failed_counts(branch: Branch) -> None:
    def fails(place: int, content: dict[str, Any]) -> None:
        if place == 1 and content["round"] == 1:
            content |= {"status": "failed", "error": {"stage": "measure", "message": "killed"}}
            content["measures"] = {"latency": content["measures"]["latency"]}
            content["measures"]["latency"]["e2e_ms"] = [500.0] * 60

    branch.measure([0, 1], change=fails)
    before, after = branch.series("e2e_p99_ms").points
    assert (before.value.n, after.value.n, after.value.value) == (120, 120, 500.0)
    assert [commit.place for commit in branch.history().failures["q4"]] == [1]


def test_metrics_are_chosen_by_name_kind_or_measure(branch: Branch) -> None:
    branch.measure(range(2), variants=("finetuned", "q4"))

    def names(*metrics: str) -> list[str]:
        return list(dict.fromkeys(series.metric.name for series in branch.history(metrics=metrics).series))

    assert names("memory", "accuracy hr") == ["peak_resident_bytes", "accuracy hr"]
    assert names("accuracy") == ["accuracy general", "accuracy hr"]
    assert len(names("latency")) == 7
