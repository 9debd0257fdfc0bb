"""What a report warns of: runtimes that disagree, chance level, broken answers, drift, mixed states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bench
from bench.metrics.chance import chance_level
from bench.records.selection import Wanted
from bench.records.store import read
from bench.report import render
from bench.report.findings import controls
from bench.selftest import raw_values, records
from bench.summary.warnings import of_steps
from tests.report.conftest import EXAMPLE, SOME, findings_of, mmlu_record, rows_of, summary_of, text_of


def test_a_runtime_that_scores_otherwise_is_a_problem(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "base-torch")}, rounds=1)
    broken = records.record("base-torch")
    answers = broken["measures"]["accuracy"]["hr"]
    for i in range(5):
        answers["picked"][i] = (answers["picked"][i] + 1) % 4
    answers["loglik"][7][2] += 2.5
    records.write(tmp_path, broken)
    agreements = {control.task: control.agreement for control in controls(summary_of(tmp_path).rows)}
    assert (agreements["hr"].same, agreements["general"].same) == (395, 400)
    assert agreements["hr"].largest_difference == pytest.approx(2.5)
    assert "One of the runtimes scores wrongly" in findings_of(tmp_path)[0].text


def test_an_accuracy_at_chance_is_noted(tmp_path: Path) -> None:
    chance = (("source", "gguf", "q2"), "llamacpp", 1_000_000, 0.5, 0.0, 0.27)
    records.write_sweep(tmp_path, {"base": SOME["base"], "q2": chance}, rounds=1)
    noted = next(f for f in findings_of(tmp_path) if f.title == "No better than guessing on hr")
    assert "q2" in noted.text
    assert chance_level(rows_of(tmp_path)["base"].answers["general"]) == ""


def test_choices_that_all_score_the_same_are_a_problem(tmp_path: Path) -> None:
    content = records.record("base")
    content["measures"]["accuracy"]["hr"]["loglik"] = [[-1.0] * 4] * 400
    records.write(tmp_path, content)
    assert "all choices scored the same on 400 questions" in findings_of(tmp_path)[0].text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"canary": {"before": {"copy_gb_s": 4.0}, "after": {"copy_gb_s": 9.0}}}, "at worst -5"),
        ({"warnings": ["only 3 of 4 layers are on the GPU"]}, "only 3 of 4 layers"),
        ({"commit": {"sha": records.COMMIT, "dirty": False, "tree": "otherwise"}}, "different working trees"),
    ],
)
def test_what_a_record_says_of_itself_is_repeated(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "q4")}, rounds=2)
    records.write(tmp_path, {**records.record("q4", 1), **change})
    assert any(expected in finding.text for finding in findings_of(tmp_path))


@pytest.mark.parametrize(
    ("of_card", "expected"), [([3000.0, 3010.0], []), ([3000.0, 2000.0, 3000.0], ["device_copy_gb_s"])]
)
def test_timings_of_a_card_drift_with_the_card_and_not_with_the_cpu_of_its_host(
    tmp_path: Path, of_card: list[float], expected: list[str]
) -> None:
    for round_, bandwidth in enumerate(of_card):
        reading = {"copy_gb_s": 9.0 + 5 * round_, "device_copy_gb_s": bandwidth}
        record = records.record("q4", round_)
        records.write(
            tmp_path, record | {"canary": {"before": reading}, "session": record["session"] | {"device": "cuda"}}
        )
    drifted = [finding.text for finding in findings_of(tmp_path) if finding.title == "The machine drifted"]
    assert [text.split()[0] for text in drifted] == expected
    assert "; copy_gb_s" not in "".join(drifted)


def test_a_prompt_cache_at_work_is_a_problem(tmp_path: Path) -> None:
    content = records.record("base")
    content["measures"]["latency"]["evaluated_tokens"] = [1] * 140
    records.write(tmp_path, content)
    assert "a prompt cache was at work" in findings_of(tmp_path)[0].text


def test_uncommitted_changes_are_noted_on_top(tmp_path: Path) -> None:
    state = {"sha": records.COMMIT, "dirty": True, "tree": "abc"}
    records.write_sweep(tmp_path, {"base": SOME["base"]}, rounds=1, commit=state)
    text = text_of(render(tmp_path, tmp_path / "out", Wanted()))
    assert "with uncommitted changes" in text
    assert "0123456789ab-dirty" in text


def test_warnings_that_old_records_state_are_not_shown_twice(tmp_path: Path) -> None:
    content = mmlu_record("q2")
    content["warnings"] = ["accuracy mmlu: at chance: 26.0 % right (21.6–30.9, n = 342), guessing gives 25.0 %"]
    records.write(tmp_path, content)
    findings = render(tmp_path, tmp_path / "out", Wanted(), ("csv",)).findings
    assert len([each for each in findings if "at chance" in each.text]) == 1


def test_a_failed_parity_opens_the_report(tmp_path: Path) -> None:
    for name in ("base", "base-torch"):
        content = mmlu_record(name)
        if name == "base-torch":
            picked = content["measures"]["accuracy"]["mmlu"]["picked"]
            picked[:10] = [(letter + 1) % 4 for letter in picked[:10]]
        records.write(tmp_path, content)
    first = render(tmp_path, tmp_path / "out", Wanted(), ("csv",)).findings[0]
    assert (first.level, first.title) == ("bad", "Runtime control")
    assert "mmlu: 332 of 342 (97.1 %)" in first.text


def test_log_likelihoods_that_are_no_numbers_are_a_problem(tmp_path: Path) -> None:
    content = mmlu_record("base")
    mmlu = content["measures"]["accuracy"]["mmlu"]
    mmlu["loglik"][:3], mmlu["picked"][:3] = [[None] * 4] * 3, [-1] * 3
    records.write(tmp_path, content)
    report = render(tmp_path, tmp_path / "out", Wanted())
    assert "mmlu: a log-likelihood or value is not a finite number on 3 questions" in report.findings[0].text
    assert report.findings[0].level == "bad"


def test_a_divergence_with_a_value_that_is_no_number_is_not_measured_and_costs_no_other_number(tmp_path: Path) -> None:
    content = records.record("q4")
    content["measures"]["divergence"] = raw_values.divergence(0.01)
    content["measures"]["divergence"]["kl"][7] = None
    records.write(tmp_path, content)
    table = bench.load(tmp_path).set_index("metric")
    assert "kl_mean" not in table.index
    assert "size_bytes" in table.index
    warning = "divergence: not measured, 1 of 256 tokens have a value that is no finite number"
    assert of_steps(read(tmp_path)[0][0]) == [warning]
    assert warning in [finding.text for finding in render(tmp_path, tmp_path / "out", Wanted(), ("csv",)).findings]


def test_all_that_is_wrong_with_the_answers_to_a_task_is_in_words_with_its_numbers(tmp_path: Path) -> None:
    content = mmlu_record("q2")
    mmlu = content["measures"]["accuracy"]["mmlu"]
    mmlu |= {
        "truncated": 7,
        "without_system": True,
        "tokenizer": {"compared": 1200, "different": 2, "example": EXAMPLE},
    }
    mmlu["loglik"][0][0], mmlu["loglik"][1:3] = None, [[-2.0] * 4] * 2
    records.write(tmp_path, content)
    texts = {finding.title: finding.text for finding in findings_of(tmp_path) if finding.level == "note"}
    broken = [finding.text for finding in findings_of(tmp_path) if finding.level == "bad"]
    refused = "q2: the chat template refuses a system message, so the task's description was left out"
    tokenizers = "q2: the GGUF's tokenizer and the source's differ on 2 of 1,200 texts"
    assert any("mmlu: a log-likelihood or value is not a finite number on 1 question of 342" in text for text in broken)
    assert any("mmlu: all choices scored the same on 2 questions of 342" in text for text in broken)
    assert "guessing gives 25.0 %, always the most frequent answer" in texts["No better than guessing on mmlu"].lower()
    assert texts["Prompts of mmlu were cut to fit the context"].startswith("q2 7 of 342. ")
    assert texts["Prompts of mmlu"].startswith(refused)
    assert texts["Tokenizers differ on mmlu"].startswith(tokenizers)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"chat_template": "another"}, "the chat template (None / 'another')"),
        ({"template_date": "2024-07-26"}, "the date that the chat template writes (None / '2024-07-26')"),
        ({"template_tokens": {"bos_token": "<s>"}}, "the special tokens that the chat template writes, which the tok"),
        ({"num_fewshot": 3}, "the number of examples (0 / 3)"),
        ({}, "the text of the task"),
    ],
)
def test_prompts_that_differ_between_variants_are_a_problem_with_a_cause(
    tmp_path: Path, change: dict[str, Any], cause: str
) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "q4")}, rounds=1)
    content = records.record("q4")
    content["measures"]["accuracy"]["hr"] |= {"prompt_sha256": "other words", **change}
    records.write(tmp_path, content)
    named = [finding for finding in findings_of(tmp_path) if finding.title == "Prompts of hr differ between variants"]
    assert [finding.level for finding in named] == ["bad"]
    assert named[0].text.startswith(f"q4 were asked in other words than base, because of {cause}")


def test_a_gguf_that_starts_texts_otherwise_than_its_source_is_a_problem(tmp_path: Path) -> None:
    content = mmlu_record("q2")
    starts = {"starts": {"gguf": [], "hf": [1]}, "alone": {"gguf": [2], "hf": [1]}}
    content["measures"]["accuracy"]["mmlu"]["tokenizer"] = {"compared": 9, "different": 9, "example": None, **starts}
    records.write(tmp_path, content)
    named = next(finding for finding in findings_of(tmp_path) if finding.title == "Tokenizers differ on mmlu")
    assert named.level == "bad"
    assert "before every text the GGUF puts the tokens [], its source [1]" in named.text
    assert "before a text without context the GGUF puts the tokens [2], its source [1]" in named.text
