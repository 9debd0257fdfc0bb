"""What a comparison is asked for, and its verdicts: filters, limits, drift, identity, exit codes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench.compare.flips import flips
from bench.compare.lines import Asked
from bench.compare.verdict import VERDICTS
from bench.selftest import raw_values, records
from tests.compare.test_comparison import GENERAL, SIZE, TPOT, Checkout, checkout, failing, q4, scaled, set_in
from variants.errors import UserError

__all__ = ["checkout"]


def rebuilt(content: dict[str, Any]) -> None:
    """Another recipe, and so another artifact."""
    content["config"]["steps"]["q4"]["type"] = "Q4_K_S"
    content["artifact"]["fingerprint"] = content["lineage"][-1]["fingerprint"] = "another"


def diverging(mean: float, **other: Any) -> Any:
    """Give a record the divergence of 20 windows of 8 tokens whose KL has this mean; `other` replaces its keys."""

    def change(content: dict[str, Any]) -> None:
        kl = [mean + 0.0001 * ((7 * i) % 5 - 2) for i in range(160)]
        fields = {**raw_values.divergence(mean, windows=20, window=8), "kl": kl, **other}
        content["measures"]["divergence"] = fields

    return change


def asking(task: str, answers: dict[str, Any]) -> Any:
    """Give a record's first round the answers to one more task."""

    def change(content: dict[str, Any]) -> None:
        if content["round"] == 0:
            content["measures"]["accuracy"][task] = answers

    return change


def f1(add: float, n: int = 50, higher_is_better: bool | None = True) -> dict[str, Any]:
    """Make a task whose documents have a number between 0 and 1 that is better the higher it is."""
    values = [round(0.5 + 0.02 * ((7 * i) % 11 - 5) + add * (1 + 0.2 * ((3 * i) % 5 - 2)), 4) for i in range(n)]
    way = {"higher_is_better": higher_is_better}
    return {**raw_values.asked("squad", n), **way, "subject": [""] * n, "metric": "f1", "value": values}


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


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("lineage",), "other model", "model content: source / other model"),
        (("config", "model"), {"name": "reference", "revision": "abc"}, "model revision: None / abc"),
    ],
)
def test_another_model_is_not_comparable_in_any_metric(
    checkout: Checkout, path: tuple[str, ...], value: Any, why: str
) -> None:
    def moved(content: dict[str, Any]) -> None:
        content["lineage"][0]["fingerprint"] = "other model"
        if path != ("lineage",):
            set_in(*path, value=value)(content)

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, moved)
    lines = checkout.lines()
    assert {line.verdict for metric, line in lines.items() if metric != "artifact"} == {"not comparable"}
    assert lines["size_bytes"].why.startswith(why)
    assert checkout.compare().exit_code == 2


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("scorer", "2", "hr scorer: 1 / 2"),
        ("scorer", None, "hr scorer: 1 / not stated"),
        ("version", 2, "hr version: 1 / 2"),
        ("num_fewshot", 5, "hr num_fewshot: 0 / 5"),
        ("chat_template", "c0ffee", "hr chat_template: not stated / c0ffee"),
        ("truncated", 7, "hr truncated: 0 / 7"),
    ],
)
def test_answers_to_something_else_are_not_comparable_and_what_is_not_stated_is_no_guess(
    checkout: Checkout, key: str, value: Any, why: str
) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, set_in("measures", "accuracy", "hr", key, value=value))
    line = checkout.lines()["accuracy hr"]
    assert (line.verdict, line.why) == ("not comparable", why)


@pytest.mark.parametrize(("head", "verdict"), [(2.5, "same"), (2.6, "worse"), (2.4, "better")])
def test_a_perplexity_is_compared_by_its_ratio_over_the_same_documents(
    checkout: Checkout, head: float, verdict: str
) -> None:
    checkout.measure(checkout.base, asking("wikitext", raw_values.rolling(2.5)))
    checkout.measure(checkout.head, asking("wikitext", raw_values.rolling(head)))
    line = checkout.lines()["perplexity wikitext"]
    assert (line.verdict, line.test, line.n) == (verdict, "paired t over documents", 20)
    assert isinstance(line.base, float)
    assert isinstance(line.head, float)
    assert line.change == pytest.approx(line.head / line.base)
    assert None not in (line.low, line.change, line.high)
    assert line.low <= line.change <= line.high  # type: ignore[operator]


@pytest.mark.parametrize(("add", "verdict"), [(0.0, "same"), (-0.1, "worse"), (0.1, "better")])
def test_a_number_of_each_document_is_compared_by_its_difference(checkout: Checkout, add: float, verdict: str) -> None:
    checkout.measure(checkout.base, asking("squad", f1(0.0)))
    checkout.measure(checkout.head, asking("squad", f1(add)))
    line = checkout.lines()["score squad"]
    assert line.verdict == verdict
    assert line.change == pytest.approx(add, abs=1e-3)


@pytest.mark.parametrize(
    ("task", "base", "head", "why"),
    [
        ("squad", f1(0, higher_is_better=None), f1(0, higher_is_better=None), "squad f1, which is better: not stated"),
        ("squad", f1(0), {**f1(0), "value": [None, *f1(0)["value"][1:]]}, "documents without a finite number: 0 / 1"),
        (
            "wikitext",
            raw_values.rolling(2.5),
            raw_values.rolling(2.5, "byte_perplexity"),
            "metric: word_perplex / byte_perp",
        ),
    ],
)
def test_numbers_without_a_direction_a_value_or_one_metric_are_not_comparable(
    checkout: Checkout, task: str, base: dict[str, Any], head: dict[str, Any], why: str
) -> None:
    checkout.measure(checkout.base, asking(task, base))
    checkout.measure(checkout.head, asking(task, head))
    (line,) = (line for metric, line in checkout.lines().items() if metric.endswith(task))
    assert line.verdict == "not comparable"
    assert why in line.why


def test_a_single_document_decides_nothing_and_says_so(checkout: Checkout) -> None:
    checkout.measure(checkout.base, asking("squad", f1(0.0, n=1)))
    checkout.measure(checkout.head, asking("squad", f1(0.2, n=1)))
    line = checkout.lines()["score squad"]
    assert (line.verdict, line.why) == (
        "undecided",
        "a single document: it takes two to show how much they differ",
    )


def test_numbers_that_all_happen_to_be_0_or_1_are_compared_with_numbers(checkout: Checkout) -> None:
    checkout.measure(checkout.base, asking("squad", {**f1(0), "value": [1.0] * 50}))
    checkout.measure(checkout.head, asking("squad", f1(0)))
    assert checkout.verdicts()["score squad"] == "worse"
    assert "accuracy squad" not in checkout.lines()


def test_generated_answers_are_right_or_wrong_and_their_flips_are_listed_with_their_texts(checkout: Checkout) -> None:
    base, head = raw_values.generated(0.9), raw_values.generated(0.3)
    checkout.measure(checkout.base, asking("gsm8k", base))
    checkout.measure(checkout.head, asking("gsm8k", head))
    line = checkout.lines()["accuracy gsm8k"]
    assert (line.verdict, line.test) == ("worse", "exact McNemar")
    flipped = [flip for flip in flips(checkout.compare()) if flip.task == "gsm8k"]
    assert len(flipped) == sum(a != b for a, b in zip(base["value"], head["value"], strict=True))
    assert {(flip.gold, flip.base, flip.head, flip.lost) for flip in flipped} == {(None, "42", "41", True)}


@pytest.mark.parametrize(("head", "verdict"), [(0.02, "same"), (0.03, "worse"), (0.01, "better")])
def test_divergence_is_compared_by_the_interval_over_windows(checkout: Checkout, head: float, verdict: str) -> None:
    checkout.measure(checkout.base, diverging(0.02))
    checkout.measure(checkout.head, diverging(head))
    assert checkout.verdicts()["kl_mean"] == verdict


def test_divergences_from_other_bases_are_not_comparable(checkout: Checkout) -> None:
    checkout.measure(checkout.base, diverging(0.02))
    checkout.measure(checkout.head, diverging(0.02, base="another"))
    assert checkout.lines()["kl_mean"].why == "divergence base: artifact-bas / another"


def test_a_divergence_that_has_become_no_number_is_not_comparable(checkout: Checkout) -> None:
    checkout.measure(checkout.base, diverging(0.01))
    checkout.measure(checkout.head, diverging(0.01, kl=[None] + [0.01] * 159))
    line = checkout.lines()["kl_mean"]
    assert (line.verdict, line.why) == ("not comparable", "tokens without a finite number: 0 / 1")


def test_divergences_over_another_text_are_not_comparable(checkout: Checkout) -> None:
    checkout.measure(checkout.base, diverging(0.02))
    checkout.measure(checkout.head, diverging(0.02, text="another"))
    assert checkout.lines()["kl_mean"].why == "divergence text: 7e577e577e57 / another"


def test_a_divergence_below_what_rounding_makes_by_itself_is_the_same(checkout: Checkout) -> None:
    for sha, nats in ((checkout.base, 1e-6), (checkout.head, 1.9e-6)):
        checkout.measure(sha, diverging(0.0, kl=[nats] * 160, rounding_floor=2e-6))
    assert checkout.verdicts()["kl_mean"] == "same"


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "same"), (1.2, "worse"), (0.8, "better")])
def test_peak_memory_is_compared_by_its_rounds(checkout: Checkout, factor: float, verdict: str) -> None:
    def peak(content: dict[str, Any]) -> None:
        peak = content["measures"]["memory"]["peak_resident_bytes"]
        content["measures"]["memory"]["peak_resident_bytes"] = round(factor * peak)

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, peak)
    assert checkout.verdicts()["peak_resident_bytes"] == verdict


def test_a_single_round_decides_no_latency_and_says_why(checkout: Checkout) -> None:
    for sha, factor in ((checkout.base, 1.0), (checkout.head, 3.0)):
        content = records.record("q4", requests=400)
        content["commit"] = {"sha": sha, "dirty": False, "tree": "clean"}
        scaled(content, factor)
        records.write(checkout.results, content)
    line = checkout.lines()["e2e_p50_ms"]
    assert line.verdict == "undecided"
    assert line.change == pytest.approx(3.0)
    assert line.why == "one round on a side: it takes two to show how much rounds differ"


def test_what_is_undecided_says_the_n_that_would_decide_it(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(general=GENERAL - 0.002))
    line = checkout.lines()["accuracy general"]
    assert line.needed is not None
    assert line.needed > 400
    assert line.why == f"about {line.needed:,} questions would decide it"


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


def test_drift_of_the_canary_is_shown_and_normalized_out_on_request(checkout: Checkout) -> None:
    def slow_machine(content: dict[str, Any]) -> None:
        scaled(content, 1.25)
        for reading in content["canary"].values():
            reading["copy_gb_s"] *= 0.8

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, slow_machine)
    plain, normalized = checkout.compare(), checkout.compare(normalize=True)
    drift = {canary.name: canary.change for canary in plain.drift}
    assert drift["copy_gb_s"] == pytest.approx(-0.2, abs=0.02)
    assert {line.metric: line.verdict for line in plain.lines}["e2e_p50_ms"] == "worse"
    assert {line.metric: line.verdict for line in normalized.lines}["e2e_p50_ms"] == "same"
    assert any(note.startswith("normalized: latencies of the head are divided by 1.2") for note in normalized.notes)


def test_nothing_is_normalized_by_a_canary_that_is_not_there(checkout: Checkout) -> None:
    checkout.measure(checkout.base, set_in("canary", value=None))
    checkout.measure(checkout.head)
    assert checkout.compare().drift == ()
    with pytest.raises(UserError, match="--normalize: no copy_gb_s beside the records of both sides"):
        checkout.compare(normalize=True)


def test_flipped_questions_are_listed(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(general=GENERAL - 0.1))
    flipped = list(flips(checkout.compare()))
    answers = [records.record("q4", **how)["measures"]["accuracy"]["general"] for how in (q4(), q4(general=0.8))]
    line = checkout.lines()["accuracy general"]
    assert line.change == pytest.approx(sum(-1 if flip.lost else 1 for flip in flipped) / 400)
    for flip in flipped:
        place = answers[0]["question"].index(flip.question)
        assert (flip.variant, flip.task, flip.gold) == ("q4", "general", answers[0]["gold"][place])
        assert (flip.base, flip.head) == tuple(side["picked"][place] for side in answers)
        assert flip.lost == (flip.base == flip.gold)


@pytest.mark.parametrize(
    ("before", "after", "fail_on", "code"),
    [
        ({}, q4(size=SIZE + 1), ("worse", "now fails"), 1),
        ({}, q4(size=SIZE + 1), ("now fails",), 0),
        ({}, q4(size=SIZE - 1), ("worse", "now fails"), 0),
        ({}, q4(size=SIZE - 1), ("better",), 1),
        ({}, {"change": failing}, ("worse", "now fails"), 1),
        ({}, {"change": failing}, ("worse",), 0),
        ({"change": failing}, {}, ("worse", "now fails"), 0),
        ({"change": failing}, {}, ("fixed",), 1),
        ({"change": failing}, {"change": failing}, ("worse", "now fails"), 2),
        ({"change": failing}, {"change": failing}, ("not comparable",), 1),
        ({}, {"change": set_in("variant", value="q5")}, ("worse", "now fails"), 2),
        ({}, {"change": set_in("variant", value="q5")}, ("gone",), 1),
        ({}, {"change": rebuilt}, ("worse", "now fails"), 0),
        ({}, {"change": rebuilt}, ("changed",), 1),
    ],
)
def test_the_exit_code_follows_from_the_verdicts_it_is_to_fail_on(
    checkout: Checkout, before: dict[str, Any], after: dict[str, Any], fail_on: tuple[str, ...], code: int
) -> None:
    assert set(fail_on) <= set(VERDICTS)
    checkout.measure(checkout.base, **before)
    checkout.measure(checkout.head, **after)
    assert checkout.compare(fail_on=fail_on).exit_code == code


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_record_that_is_left_out_makes_its_variant_not_comparable_and_the_exit_code_2(
    checkout: Checkout, side: str
) -> None:
    for sha in (checkout.base, checkout.head):
        checkout.measure(sha)
        content = {**records.record("base"), "commit": {"sha": sha, "dirty": False, "tree": "clean"}}
        records.write(checkout.results, content)
    path = checkout.results / records.MACHINE / getattr(checkout, side)[:12] / "q4.r1.json"
    path.write_text(path.read_text()[:-100])
    comparison = checkout.compare()
    mine = [line for line in comparison.lines if line.variant == "q4"]
    assert [(line.metric, line.verdict) for line in mine] == [("record", "not comparable")]
    assert str(path) in mine[0].why
    assert {line.verdict for line in comparison.lines if line.variant == "base"} <= {"same", "undecided"}
    assert (comparison.exit_code, len(comparison.left_out)) == (2, 1)


def test_only_the_records_of_the_two_commits_are_read(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    elsewhere = checkout.results / records.MACHINE / "ffffffffffff" / "q4.r0.json"
    elsewhere.parent.mkdir()
    elsewhere.write_text("{")
    assert (checkout.compare().left_out, checkout.compare().exit_code) == ((), 0)


def test_worktree_is_the_uncommitted_state_of_head(checkout: Checkout) -> None:
    from dataclasses import asdict

    from bench.machine.git import state

    checkout.measure(checkout.head)
    (checkout.root / "recipe.yaml").write_text("rank: 1\n")
    now = asdict(state(checkout.root))
    late = "2026-11-24T00:00:00+00:00"
    checkout.measure(checkout.head, set_in("commit", value=now))
    checkout.measure(checkout.head, lambda c: c.update(started_at=late, commit={**now, "tree": "other"}))
    comparison = checkout.compare("HEAD", "worktree")
    assert (comparison.base.dirty, comparison.head.label, comparison.notes) == (
        False,
        f"{checkout.head[:12]}-dirty-{now['tree']}",
        (),
    )
    (checkout.root / "recipe.yaml").write_text("rank: 2\n")
    comparison = checkout.compare("HEAD", "worktree")
    assert comparison.head.label == f"{checkout.head[:12]}-dirty-other"
    assert comparison.notes[0].startswith("worktree: the checkout has changed since")


def test_a_tag_is_a_revision(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    checkout._git("tag", "v1", checkout.base)
    assert checkout.compare("v1").base.sha == checkout.base


def test_a_commit_of_which_only_an_uncommitted_state_was_measured_is_noted(checkout: Checkout) -> None:
    checkout.measure(checkout.base, dirty=True)
    checkout.measure(checkout.head)
    (note,) = checkout.compare().notes
    assert note.startswith(f"HEAD~1: its commit was not measured, {checkout.base[:12]}-dirty-changed")


def test_a_variant_that_neither_side_has_is_a_mistake(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    with pytest.raises(UserError, match="--variant: no records of q9; choose of: q4"):
        checkout.compare(asked=Asked(variants=("q4", "q9")))


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


def test_the_parts_of_a_latency_have_verdicts_and_tokens_per_second_fall_where_a_token_takes_longer(
    checkout: Checkout,
) -> None:
    def slower(content: dict[str, Any]) -> None:
        latency = content["measures"]["latency"]
        latency["tpot_ms"] = [1.25 * value for value in latency["tpot_ms"]]

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, slower)
    lines = checkout.lines()
    verdicts = {name: lines[name].verdict for name in ("ttft_p50_ms", "tpot_p50_ms", "tpot_p99_ms", "tokens_per_s")}
    assert verdicts == {
        "ttft_p50_ms": "same",
        "tpot_p50_ms": "worse",
        "tpot_p99_ms": "worse",
        "tokens_per_s": "worse",
    }
    tpot, tokens = lines["tpot_p50_ms"], lines["tokens_per_s"]
    assert tpot.change == pytest.approx(1.25)
    assert tokens.change == pytest.approx(1 / 1.25)
    assert (tokens.low, tokens.high) == (pytest.approx(1 / tpot.high), pytest.approx(1 / tpot.low))  # type: ignore[operator]
    assert lines["e2e_p50_ms"].verdict == "same"  # of another column of the record


def test_the_parts_of_a_latency_cost_the_whole_no_power(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, lambda content: scaled(content, 1.06))
    alone, among_all = (
        {line.metric: line.p for line in checkout.compare(asked=asked).lines}["e2e_p50_ms"]
        for asked in (Asked(metrics=("e2e_p50_ms", "e2e_p99_ms")), Asked())
    )
    assert alone == among_all


def test_the_text_of_a_divergence_has_a_perplexity_that_is_compared_by_its_ratio(checkout: Checkout) -> None:
    nll = [2.5 + 0.01 * ((3 * i) % 7 - 3) for i in range(160)]
    checkout.measure(checkout.base, diverging(0.02, nll=nll))
    checkout.measure(checkout.head, diverging(0.02, nll=[value + 0.03 for value in nll]))
    line = checkout.lines()["perplexity"]
    assert (line.verdict, line.test, line.n) == ("worse", "paired t over windows", 160)
    assert line.change == pytest.approx(math.exp(0.03), rel=1e-6)
    assert checkout.verdicts()["kl_mean"] == "same"


def test_a_metric_is_chosen_by_its_name_its_kind_or_its_measure(checkout: Checkout) -> None:
    for sha in (checkout.base, checkout.head):
        checkout.measure(sha, diverging(0.02))

    def metrics(*names: str) -> set[str]:
        return {line.metric for line in checkout.compare(asked=Asked(metrics=names)).lines}

    assert metrics("accuracy hr", "memory") == {"accuracy hr", "peak_resident_bytes"}
    assert metrics("divergence") == {"kl_mean", "perplexity"}
    assert metrics("size") == {"size_bytes", "tensor_types"}
    assert len(metrics("latency")) == 7


def test_the_peak_of_memory_is_that_of_the_largest_round(checkout: Checkout) -> None:
    def peaks(content: dict[str, Any]) -> None:
        largest = 100_000_000 if content["round"] == 1 else 70_000_000
        content["measures"]["memory"]["peak_resident_bytes"] = largest

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, peaks)
    assert checkout.lines()["peak_resident_bytes"].head == 100_000_000


def test_what_a_failed_cell_measured_before_it_failed_counts(checkout: Checkout) -> None:
    def fails(content: dict[str, Any]) -> None:
        if content["round"] == 2:
            content |= {"status": "failed", "error": {"stage": "measure", "message": "killed"}}
            content["measures"] = {"latency": content["measures"]["latency"]}
            content["measures"]["latency"]["e2e_ms"] = [500.0] * 140

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, fails)
    lines = checkout.lines()
    assert (lines["e2e_p99_ms"].head, lines["e2e_p99_ms"].n) == (500.0, 420)
    assert (lines["run"].verdict, lines["run"].why) == ("now fails", "round 2 failed at measure: killed")


def test_numbers_on_both_sides_are_compared_though_a_round_of_one_failed_before_it_had_any(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, lambda content: failing(content) if content["round"] == 2 else None)
    verdicts = {metric: line.verdict for metric, line in checkout.lines().items() if metric != "run"}
    assert set(verdicts.values()) <= {"same", "undecided"}
    assert verdicts["peak_resident_bytes"] == "same"
