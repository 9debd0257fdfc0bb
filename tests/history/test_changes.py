"""Where the level of a series changed, by how much, and which commits it may be in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.cli import main
from bench.selftest import raw_values
from tests.branch import Branch


def test_a_planted_change_is_found_with_the_commits_it_may_be_in(branch: Branch) -> None:
    places = [0, 2, 4, 6, 8, 10, 14, 16, 18, 20, 22, 24]
    branch.measure(places, slower=lambda place: 1.15 if place >= 12 else 1.0)
    assert branch.changes("e2e_p50_ms") == [(10, 14, "worse")]
    (change,) = branch.series("e2e_p50_ms").changes
    assert change.commits == 4
    assert change.change == pytest.approx(1.15, abs=0.03)
    assert change.low is not None
    assert change.high is not None
    assert 1.05 < change.low < change.change < change.high < 1.25
    assert change.bisect == f"bench bisect e2e_p50_ms q4 {branch.shas[10][:12]} {branch.shas[14][:12]}"
    assert branch.changes("size_bytes") == branch.changes("accuracy hr") == []


def test_a_change_between_neighbours_names_the_commit_and_needs_no_bisect(branch: Branch) -> None:
    branch.measure(range(12), slower=lambda place: 0.8 if place >= 6 else 1.0)
    (change,) = branch.series("tpot_p50_ms").changes
    assert (change.commits, change.verdict, change.bisect) == (1, "better", "")
    assert change.after.commit.sha == branch.shas[6]


@pytest.mark.parametrize(("by", "verdict"), [(1, "changed"), (-128, "changed"), (100_000, "worse"), (-9_999, "better")])
def test_every_byte_of_a_size_is_a_change_and_beyond_the_limit_of_compare_one_for_better_or_worse(
    branch: Branch, capsys: pytest.CaptureFixture[str], by: int, verdict: str
) -> None:
    def resized(place: int, content: dict[str, Any]) -> None:
        if "size" in content["measures"]:
            content["measures"]["size"]["size_bytes"] += by if place >= 5 else 0

    branch.measure([3, 4, 5], change=resized)
    assert branch.changes("size_bytes") == [(4, 5, verdict)]
    results = ["--results", str(branch.results)]
    assert main(["history", *results, "--metric", "size_bytes"]) == 0
    assert f"B {verdict} (exact)" in capsys.readouterr().out
    assert main(["compare", branch.shas[4], branch.shas[5], *results, "--format", "json"]) in (0, 1)
    lines = json.loads(capsys.readouterr().out)["lines"]
    assert [line["verdict"] for line in lines if line["metric"] == "size_bytes"] == [verdict]


def test_a_loss_of_accuracy_is_found_by_the_answers_of_neighbours(branch: Branch) -> None:
    def forgets(place: int, content: dict[str, Any]) -> None:
        answers = content["measures"].get("accuracy", {}).get("hr")
        if answers and place >= 5:
            step = 10 if place < 8 else 9  # a tenth of the answers, then a few more: no change by themselves
            answers["picked"] = [
                (gold + 1) % 4 if i % step == 0 else picked
                for i, (gold, picked) in enumerate(zip(answers["gold"], answers["picked"], strict=True))
            ]

    branch.measure([3, 4, 5, 6, 8], change=forgets, variants=("finetuned", "q4"))
    changes = branch.series("accuracy hr", "finetuned").changes
    assert [(c.before.commit.place, c.after.commit.place) for c in changes] == [(4, 5)]
    assert changes[0].change == pytest.approx(-0.09, abs=0.015)
    assert changes[0].p is not None
    assert changes[0].p < 0.001


def test_generated_answers_are_an_accuracy_and_a_perplexity_is_compared_over_the_same_documents(
    branch: Branch,
) -> None:
    def ask(place: int, content: dict[str, Any]) -> None:
        if content["round"] == 0:
            text = raw_values.rolling(2.5 if place < 3 else 2.6)
            content["measures"]["accuracy"] = {
                "gsm8k": raw_values.generated(0.9 if place < 2 else 0.3),
                "wikitext": text,
            }

    branch.measure(range(4), change=ask)
    (change,) = branch.series("accuracy gsm8k").changes
    assert (change.before.commit.place, change.verdict) == (1, "worse")
    (change,) = branch.series("perplexity wikitext").changes
    ends = [point.value.value for point in (change.before, change.after)]
    assert (change.before.commit.place, change.verdict) == (2, "worse")
    assert change.change == pytest.approx(ends[1] / ends[0], rel=1e-5)
    assert change.low is not None
    assert change.high is not None
    assert 1 < change.low < change.change < change.high
    assert change.p is not None
    assert change.p < 0.001


@pytest.mark.parametrize(
    ("after", "changes"), [(0.02, []), (0.0201, []), (0.03, [(1, 2, "worse")]), (0.015, [(1, 2, "better")])]
)
def test_a_divergence_changes_where_its_windows_do_beyond_the_limit(
    branch: Branch, after: float, changes: list[tuple[int, int, str]]
) -> None:
    def diverge(place: int, content: dict[str, Any]) -> None:
        content["measures"]["divergence"] = raw_values.divergence(0.02 if place < 2 else after)

    branch.measure(range(4), change=diverge)
    assert branch.changes("kl_mean") == changes
    assert len(branch.series("perplexity").points) == 4


def test_tokens_per_second_change_where_a_token_takes_longer_the_other_way_round(branch: Branch) -> None:
    branch.measure(range(12), slower=lambda place: 1.25 if place >= 6 else 1.0)
    (slower,), (fewer,) = (branch.series(name).changes for name in ("tpot_p50_ms", "tokens_per_s"))
    assert slower.change == pytest.approx(1 / fewer.change)
    assert slower.verdict == fewer.verdict
    assert (slower.before.commit.place, fewer.before.commit.place, fewer.verdict) == (5, 5, "worse")
