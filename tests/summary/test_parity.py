"""Runtime parity: which records are the same model, what is compared, and when the answer is a problem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.records.store import read
from bench.selftest import records
from bench.summary import parity


def with_tasks(name: str, **tasks: dict[str, Any]) -> dict[str, Any]:
    content = records.record(name)
    content["measures"]["accuracy"] = tasks
    return content


def test_the_same_model_in_the_other_runtime_is_found() -> None:
    beside = [records.record(name) for name in ("q4", "finetuned", "base")]
    found = parity.against(records.record("base-torch"), beside)
    assert found is not None
    assert found["with"] == "base"
    assert found["tasks"]["hr"] == {"n": 400, "same": 400, "largest_difference": 0.0}
    assert set(found["tasks"]) == {"general", "hr"}


@pytest.mark.parametrize(
    "change",
    [
        {"sweep": "another"},
        {"commit": {"sha": records.COMMIT, "dirty": True, "tree": "otherwise"}},
        {"status": "failed"},
        {"measures": {}},
    ],
)
def test_a_record_of_something_else_is_no_counterpart(change: dict[str, Any]) -> None:
    other = {**records.record("base"), **change}
    assert parity.against(records.record("base-torch"), [other]) is None


def test_the_same_runtime_is_no_counterpart() -> None:
    assert parity.against(records.record("base"), [records.record("base")]) is None


def test_other_prompts_are_not_compared() -> None:
    other = records.record("base")
    other["measures"]["accuracy"]["hr"]["prompt_sha256"] = "other words"
    found = parity.against(records.record("base-torch"), [other])
    assert found is not None
    assert set(found["tasks"]) == {"general"}


def test_log_likelihoods_that_are_no_numbers_are_left_out_of_the_difference() -> None:
    one, other = records.record("base-torch"), records.record("base")
    one["measures"]["accuracy"]["hr"]["loglik"][3] = [None] * 4
    one["measures"]["accuracy"]["hr"]["picked"][3] = -1
    other["measures"]["accuracy"]["hr"]["loglik"][5][0] -= 0.25
    found = parity.against(one, [other])
    assert found is not None
    task = found["tasks"]["hr"]
    assert (task["same"], task["largest_difference"]) == (399, pytest.approx(0.25))
    one["measures"]["accuracy"]["hr"]["loglik"] = [[None] * 4] * 400
    found = parity.against(one, [other])
    assert found is not None
    assert found["tasks"]["hr"]["largest_difference"] is None


def test_generated_answers_are_compared_as_texts_and_perplexities_by_their_log_likelihoods() -> None:
    one = with_tasks("base-torch", gsm8k=records.generated(0.5), wikitext=records.rolling(2.5))
    other = with_tasks("base", gsm8k=records.generated(0.5), wikitext=records.rolling(2.5))
    other["measures"]["accuracy"]["gsm8k"]["answer"][0] += "!"
    other["measures"]["accuracy"]["wikitext"]["value"][2][0] -= 0.5
    found = parity.against(one, [other])
    assert found is not None
    assert found["tasks"]["gsm8k"] == {"n": 50, "same": 49, "largest_difference": None}
    assert found["tasks"]["wikitext"] == {"n": 20, "same": None, "largest_difference": pytest.approx(0.5)}


def test_what_is_no_whole_record_beside_a_cell_is_passed_over(tmp_path: Path) -> None:
    dirty = {"commit": {"sha": records.COMMIT, "dirty": True, "tree": "changed"}}
    whole = records.write(tmp_path, {**records.record("base"), **dirty})
    records.write(tmp_path, records.record("q4"))  # of the clean state, in a folder of its own
    whole.with_name("q8.r0.json").write_text(whole.read_text()[:-20])
    whole.with_name(".q5.r0.json.tmp").write_text("{")
    assert whole.parent.name.endswith("-dirty-changed")
    assert [record.variant for record in read(tmp_path, whole.parent.name)[0]] == ["base"]


def test_below_99_percent_it_is_a_warning_of_the_record() -> None:
    told: dict[str, Any] = {"with": "base", "tasks": {"hr": {"n": 400, "same": 395, "largest_difference": 2.5}}}
    said = parity.warnings({**records.record("base-torch"), "parity": told})
    assert said == [
        "runtime parity: base-torch and base are the same model and pick the same answer on 395 of 400 of hr, below 99%"
    ]
    told["tasks"]["hr"]["same"] = 396
    assert parity.warnings({**records.record("base-torch"), "parity": told}) == []
    assert parity.warnings(records.record("base-torch")) == []


def test_parity_and_what_is_at_chance_are_not_recorded_but_computed_when_a_sweep_is_read(
    tiny_model: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.cli import main

    few = ["suite.measures=[size,accuracy]", "accuracy.limit=6"]
    places = [f"results_dir={tmp_path}", f"cache_dir={cache}"]
    assert main(["run", "suite=smoke", f"model={tiny_model}", "variant=base,base-torch", *few, *places]) == 0
    found = {path.name.partition("~")[0]: json.loads(path.read_text()) for path in tmp_path.glob("*/*/*.json")}
    assert not any("parity" in record for record in found.values())
    told = parity.against(found["base-torch"], [found["base"]])
    assert told is not None
    assert told["with"] == "base"
    for task in ("general", "hr"):
        picked = [found[name]["measures"]["accuracy"][task]["picked"] for name in ("base", "base-torch")]
        same = sum(a == b for a, b in zip(*picked, strict=True))
        assert (told["tasks"][task]["n"], told["tasks"][task]["same"]) == (6, same)
        assert 0 <= told["tasks"][task]["largest_difference"] < 0.1
    assert not any("at chance" in line for record in found.values() for line in record["warnings"])
    assert "at chance" in capsys.readouterr().out  # random weights, six questions
