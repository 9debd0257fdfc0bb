"""Ordinary mixtures and mistakes that give a number which is not what it seems: each is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from bench.advise.named import default_of
from bench.advise.trial import question_limit
from bench.cli import main
from bench.records.values import Tokenizer
from bench.scoring.chat import Chat
from bench.selftest import records
from bench.summary.parity import parity
from bench.summary.summarize import summarize
from bench.sweep.plan.cell import Cell, memorized
from bench.tasks.texts import digests
from tests.records.conftest import typed, why_left_out
from tests.report.conftest import findings_of
from variants.paths import ROOT
from variants.step import Trains

HR = ROOT / "bench" / "tasks" / "hr"


def two_variants(results: Path, **change: Any) -> None:
    """Write base as it is, and q4 with other values at the top of its record."""
    records.write(results, records.record("base"))
    content = records.record("q4")
    for key, value in change.items():
        content[key] = {**content[key], **value}
    records.write(results, content)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"versions": {"llama-cpp-python": "0.2.0"}}, "2 different versions of llama-cpp-python"),
        ({"versions": {"torch": "2.0", "transformers": "4.0"}}, "2 different versions of torch, transformers;"),
        ({"session": {"threads": 1}}, "2 different numbers of threads of llamacpp"),
        ({"machine": {"cores": 64}}, "2 different processors"),
    ],
)
def test_variants_measured_under_other_conditions_are_no_one_table(
    tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    two_variants(tmp_path)
    assert not [one for one in findings_of(tmp_path) if one.title == "Mixed records"]
    two_variants(tmp_path / "mixed", **change)
    (finding,) = [one for one in findings_of(tmp_path / "mixed") if one.title == "Mixed records"]
    assert (finding.level, what in finding.text) == ("bad", True)


def test_a_question_that_is_asked_twice_is_no_second_question(tmp_path: Path) -> None:
    content = records.record("base")
    columns = content["measures"]["accuracy"]["hr"]
    columns["question"] = [columns["question"][0]] * len(columns["question"])
    records.write(tmp_path, content)
    (finding,) = [one for one in findings_of(tmp_path) if one.title == "Repeated questions in hr"]
    assert finding.level == "bad"
    assert "400 questions, of which 1 are different" in finding.text


def test_answers_of_other_numbers_of_choices_have_no_largest_difference() -> None:
    one, other = records.record("base"), records.record("base-torch")
    other["measures"]["accuracy"]["hr"]["loglik"][0] = [-1.0]
    assert parity([typed(one)], [typed(other)])["hr"].largest_difference is None


@pytest.mark.parametrize(
    ("measure", "change", "why"),
    [
        ("size", {"weight_bytes": 2_300_001}, "`size_bytes` is 2300000, less than the weights in it: 2300001"),
        ("size", {"weight_bytes": 2_200_000, "bits_per_weight": 0.5}, "`bits_per_weight` is 0.5, but 8 · weights"),
        ("latency", {"e2e_ms": [0.5] * 12}, "`e2e_ms`: a request ends before its first token"),
        ("latency", {"prompt_tokens": [8] * 11}, "columns of lengths [11, 12]; requests must be alike"),
    ],
)
def test_a_record_that_contradicts_itself_is_left_out(
    tmp_path: Path, measure: str, change: dict[str, Any], why: str
) -> None:
    content = records.record("q4", requests=12)
    content["measures"][measure] |= change
    records.write(tmp_path, content)
    assert why in why_left_out(tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"n": 399}, "`n` is 399, but there are 400 of `question`"),
        ({"metric": "f1", "value": [0.5] * 400}, "`value` beside `gold`, `picked` or `loglik`"),
        ({"tokenizer": {"compared": 1, "different": 2}}, "`different` is 2, more than the 1 that were compared"),
    ],
)
def test_answers_that_contradict_themselves_are_left_out(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    content = records.record("q4")
    content["measures"]["accuracy"]["hr"] |= change
    records.write(tmp_path, content)
    assert why in why_left_out(tmp_path)


@pytest.mark.parametrize(
    ("column", "becomes", "text"),
    [
        ("picked", "gold", "not the likeliest choice on {n} questions of 400"),
        ("gold", "picked", "another answer is right than for base on {n} questions"),
    ],
)
def test_columns_that_contradict_each_other_or_the_base_are_a_problem(
    tmp_path: Path, column: str, becomes: str, text: str
) -> None:
    two_variants(tmp_path)
    beginning = text.partition(" {n}")[0]
    assert not [one for one in findings_of(tmp_path) if beginning in one.text]
    content = records.record("q4")
    hr = content["measures"]["accuracy"]["hr"]
    wrong = sum(picked != gold for picked, gold in zip(hr["picked"], hr["gold"], strict=True))
    hr[column] = hr[becomes]
    records.write(tmp_path, content)
    (finding,) = [one for one in findings_of(tmp_path) if beginning in one.text]
    assert (finding.level, finding.title) == ("bad", "q4")
    assert text.format(n=wrong) in finding.text


@pytest.mark.parametrize("limit", [False, 0, -3])
def test_a_limit_that_asks_nothing_is_no_trial_run(limit: object) -> None:
    content = records.record("q4")
    content["config"]["measures"]["accuracy"]["limit"] = limit
    assert question_limit(summarize([typed(content)])) is None


@pytest.mark.parametrize("suite", ["é" * 300, "../suite/embedded", "\0", ""])
def test_a_record_may_state_a_suite_of_any_name(suite: str) -> None:
    content = records.record("q4")
    content["config"]["suite"] = suite
    assert default_of([typed(content)]) is None


@pytest.mark.parametrize(
    "change", [{"example": {"text": "a", "gguf": "b"}}, {"starts": {"hf": [1]}}, {"alone": {"gguf": [1]}}]
)
def test_half_a_difference_of_tokenizers_is_no_sound_record(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"lacks (gguf|hf)"):
        msgspec.convert({"compared": 5, "different": 1, **change}, Tokenizer)


def test_questions_that_a_variant_was_trained_on_are_named() -> None:
    asked = sorted(digests([HR / "test.jsonl"]))
    measures = {"accuracy": msgspec.Raw(json.dumps({"hr": {"question": asked}, "other": {"question": ["x"]}}).encode())}
    assert memorized(trained_on(HR / "train.jsonl"), measures) == []
    (warning,) = memorized(trained_on(HR / "test.jsonl"), measures)
    assert warning.startswith(f"hr: {len(asked)} of {len(asked)} questions are rows that it was trained on")


def trained_on(*files: Path) -> Cell:
    step = SimpleNamespace(texts=lambda: list(files))
    assert isinstance(step, Trains)
    return cast(Cell, SimpleNamespace(chain=[SimpleNamespace(step=step)]))


def test_a_models_template_that_breaks_out_is_the_models_fault() -> None:
    chat = Chat("{{ ''.__class__.__mro__ }}", {})
    with pytest.raises(RuntimeError, match=r"accuracy.chat_template: this model's template fails: .*; set it to false"):
        chat.prompt([{"role": "user", "content": "Hi"}], generate=True)


def test_a_process_may_be_given_half_of_the_memory_alone() -> None:
    code = "from variants.process import take_at_most_half; take_at_most_half(); b'x' * 2**45"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "MemoryError" in done.stderr
    code = "import resource; from variants.process import take_at_most_half; take_at_most_half()\n"
    code += "print(resource.getrlimit(resource.RLIMIT_DATA)[0] > 0)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "True\n"


def test_no_library_fetches_a_compiled_kernel(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text("raise SystemExit('foreign code ran')\n")
    code = "from variants.safety.code import fetch_no_kernels; fetch_no_kernels(); import bitsandbytes, transformers"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_page_is_written_through_a_link_that_a_repository_carries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, victim = tmp_path / "results", tmp_path / "victim"
    records.write(results, records.record("base"))
    victim.mkdir()
    (results / "report").symlink_to(victim)
    assert main(["report", "--results", str(results), "--format", "md"]) == 2
    assert "a link to" in capsys.readouterr().err
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize("typed_in", [["", "HEAD"], ["HEAD", " "]])
def test_nothing_is_no_revision(typed_in: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *typed_in]) == 2
    assert "got nothing, allowed: a git revision" in capsys.readouterr().err


def test_another_llama_cpp_that_the_shell_names_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", "/nowhere")
    assert main(["--version"]) == 0
    assert "LLAMA_CPP_LIB_PATH is not used" in capsys.readouterr().err
    assert "LLAMA_CPP_LIB_PATH" not in os.environ
