"""Runtime parity: which variants are the same model, what is compared, and when the answer is a problem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.records.file import decode, sealed
from bench.records.selection import Wanted, select
from bench.records.store import read
from bench.report.findings import Control, controls
from bench.selftest import raw_values, records
from bench.summary import parity
from bench.summary.parity import Agreement
from bench.summary.summarize import summarize
from bench.summary.warnings import of_steps


def with_tasks(name: str, **tasks: dict[str, Any]) -> dict[str, Any]:
    content = records.record(name)
    content["measures"]["accuracy"] = tasks
    return content


def agreements(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Agreement]:
    """Compare two made-up records as the report compares those that it reads."""
    sides = [[decode(sealed(content).encode())] for content in (one, other)]
    return parity.parity(*sides)


def controls_of(results: Path) -> list[Control]:
    chosen = select(read(results)[0], Wanted(), results)
    assert chosen is not None
    return controls(summarize(chosen.records).rows)


def test_the_same_model_in_the_other_runtime_is_compared(tmp_path: Path) -> None:
    for name in ("q4", "finetuned", "base", "base-torch"):
        records.write(tmp_path, records.record(name))
    same = {control.task: control for control in controls_of(tmp_path)}
    assert {(control.a, control.b) for control in same.values()} == {("base", "base-torch")}
    assert same["hr"].agreement == Agreement(n=400, same=400, largest_difference=0.0)
    assert set(same) == {"general", "hr"}


@pytest.mark.parametrize(
    "change",
    [
        {"sweep": "another"},
        {"commit": {"sha": records.COMMIT, "dirty": True, "tree": "otherwise"}},
        {"status": "failed", "lineage": [], "artifact": None, "measures": {}},
        {"measures": {}},
    ],
)
def test_a_record_of_something_else_is_no_counterpart(tmp_path: Path, change: dict[str, Any]) -> None:
    records.write(tmp_path, {**records.record("base"), **change})
    records.write(tmp_path, records.record("base-torch"))
    assert controls_of(tmp_path) == []


def test_the_same_runtime_is_no_counterpart(tmp_path: Path) -> None:
    records.write(tmp_path, records.record("base"))
    records.write(tmp_path, records.record("again", spec=records.VARIANTS["base"]))
    assert controls_of(tmp_path) == []


def test_other_prompts_are_not_compared() -> None:
    other = records.record("base")
    other["measures"]["accuracy"]["hr"]["prompt_sha256"] = "other words"
    assert set(agreements(records.record("base-torch"), other)) == {"general"}


def test_log_likelihoods_that_are_no_numbers_are_left_out_of_the_difference() -> None:
    one, other = records.record("base-torch"), records.record("base")
    one["measures"]["accuracy"]["hr"]["loglik"][3] = [None] * 4
    one["measures"]["accuracy"]["hr"]["picked"][3] = -1
    other["measures"]["accuracy"]["hr"]["loglik"][5][0] -= 0.25
    hr = agreements(one, other)["hr"]
    assert hr.same == 399
    assert hr.largest_difference == pytest.approx(0.25)
    one["measures"]["accuracy"]["hr"]["loglik"] = [[None] * 4] * 400
    assert agreements(one, other)["hr"].largest_difference is None


def test_generated_answers_are_compared_as_texts_and_perplexities_by_their_log_likelihoods() -> None:
    one = with_tasks("base-torch", gsm8k=raw_values.generated(0.5), wikitext=raw_values.rolling(2.5))
    other = with_tasks("base", gsm8k=raw_values.generated(0.5), wikitext=raw_values.rolling(2.5))
    other["measures"]["accuracy"]["gsm8k"]["answer"][0] += "!"
    other["measures"]["accuracy"]["wikitext"]["value"][2][0] -= 0.5
    tasks = agreements(one, other)
    assert tasks["gsm8k"] == Agreement(n=50, same=49, largest_difference=None)
    assert (tasks["wikitext"].n, tasks["wikitext"].same) == (20, None)
    assert tasks["wikitext"].largest_difference == pytest.approx(0.5)


def test_below_99_percent_the_runtimes_do_not_agree() -> None:
    assert not Agreement(n=400, same=395, largest_difference=2.5).holds
    assert Agreement(n=400, same=396, largest_difference=2.5).holds
    assert Agreement(n=20, same=None, largest_difference=2.5).holds


def test_scores_without_answers_that_differ_by_more_than_a_hundredth_are_not_of_the_same_model() -> None:
    one, other = (with_tasks(name, wikitext=raw_values.rolling(2.5)) for name in ("base-torch", "base"))
    assert agreements(one, other)["wikitext"] == Agreement(n=20, same=None, largest_difference=0.0, apart=0.0)
    for row in other["measures"]["accuracy"]["wikitext"]["value"]:
        row[0] *= 1.01  # 0.025 nats a word
    agreement = agreements(one, other)["wikitext"]
    assert agreement.apart == pytest.approx(0.025, abs=0.001)
    assert not agreement.holds
    assert Agreement(n=20, same=None, largest_difference=2.5, apart=0.009).holds


def test_parity_that_old_records_warn_of_is_computed_again_instead() -> None:
    stored = "runtime parity: base-torch and base are the same model and pick the same answer on 395 of 400 of hr"
    content = {**records.record("base-torch"), "warnings": [stored, "step nf4: a tensor was left as it is"]}
    assert of_steps(decode(sealed(content).encode())) == ["step nf4: a tensor was left as it is"]


def test_parity_and_what_is_at_chance_are_not_recorded_but_computed_when_a_sweep_is_read(
    tiny_model: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.cli import main

    few = ["suite.measures=[size,accuracy]", "accuracy.limit=6"]
    places = [f"results_dir={tmp_path}", f"cache_dir={cache}"]
    assert main(["run", "suite=smoke", f"model={tiny_model}", "variant=base,base-torch", *few, *places]) == 0
    stored = {path.name.partition("~")[0]: json.loads(path.read_text()) for path in tmp_path.glob("*/*/*.r*.json")}
    assert not any("parity" in content for content in stored.values())
    compared = {control.task: control for control in controls_of(tmp_path)}
    for task in ("general", "hr"):
        picked = [stored[name]["measures"]["accuracy"][task]["picked"] for name in ("base", "base-torch")]
        agreement = compared[task].agreement
        assert (agreement.n, agreement.same) == (6, sum(a == b for a, b in zip(*picked, strict=True)))
        assert agreement.largest_difference is not None
        assert 0 <= agreement.largest_difference < 0.1
    assert not any("at chance" in line for content in stored.values() for line in content["warnings"])
    assert "at chance" in capsys.readouterr().out  # random weights, six questions
