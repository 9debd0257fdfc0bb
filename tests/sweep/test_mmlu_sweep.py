"""MMLU's whole path on a tiny model: the suite as a user runs it, and a sweep killed while it scores."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.records.store import read
from bench.summary.parity import parity
from bench.tasks.catalogue import mmlu_subjects
from tests.tasks.conftest import write
from variants.paths import ROOT

N_TEST = 8
N_QUESTIONS = 57 * N_TEST
"""Enough for several chunks of the scorer."""
LONG = ("marketing", "virology")
"""Subjects of which one example alone is longer than the model's context of 512 tokens."""
N_CUT = len(LONG) * N_TEST


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    csvs = write(tmp_path_factory.mktemp("mmlu") / "csv", mmlu_subjects(["mmlu"]), N_TEST)
    for subject in LONG:
        dev = csvs / "dev" / f"{subject}_dev.csv"
        dev.write_text(dev.read_text().replace(f"{subject} dev 1?", "word " * 600))
    return csvs


def arguments(model: Path, folder: Path, results: Path, cache: Path, *more: str) -> list[str]:
    few = ["suite.rounds=1", "latency.requests=4", "latency.warmup_requests=1", "latency.output_tokens=4", "device=cpu"]
    places = [f"model={model}", f"data_dir={folder}", f"results_dir={results}", f"cache_dir={cache}"]
    return ["run", "suite=mmlu", *few, *places, *more]


def records(results: Path) -> dict[str, dict[str, Any]]:
    return {path.name.partition("~")[0]: json.loads(path.read_text()) for path in results.glob("*/*/*.r*.json")}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, folder: Path, tiny_model: Path, cache: Path) -> tuple[Path, str]:
    """The suite in both runtimes without a break: its results, and what it printed."""
    results, printed = tmp_path_factory.mktemp("results"), io.StringIO()
    measures = "suite.measures=[size,accuracy]"
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setenv("COLUMNS", "200")
        assert main(arguments(tiny_model, folder, results, cache, "variant=base,base-torch", measures)) == 0
    return results, " ".join(printed.getvalue().split())


def test_every_question_is_scored_and_every_cut_prompt_is_counted(swept: tuple[Path, str]) -> None:
    by_variant = records(swept[0])
    assert sorted(by_variant) == ["base", "base-torch"]
    for record in by_variant.values():
        assert record["status"] == "ok"
        columns = record["measures"]["accuracy"]["mmlu"]
        assert columns["n"] == len(columns["picked"]) == len(set(columns["question"])) == N_QUESTIONS
        assert Counter(columns["subject"]) == dict.fromkeys(mmlu_subjects(["mmlu"]), N_TEST)
        assert columns["num_fewshot"] == 5
        assert columns["truncated"] == N_CUT
        assert columns["scoring"]["requests"] == 4 * N_QUESTIONS
    assert by_variant["base"]["measures"]["accuracy"]["mmlu"]["tokenizer"]["different"] == 0


def test_the_second_runtime_is_compared_with_the_first(swept: tuple[Path, str]) -> None:
    by_variant = records(swept[0])
    assert not any("parity" in record for record in by_variant.values())  # computed when it is read
    base, torch = sorted(read(swept[0])[0], key=lambda record: record.variant)
    agreement = parity([torch], [base])["mmlu"]
    assert agreement.n == N_QUESTIONS
    assert agreement.same is not None
    assert agreement.largest_difference is not None
    assert agreement.same >= 0.99 * N_QUESTIONS
    assert 0 < agreement.largest_difference < 0.1


def test_report_and_terminal_say_at_chance_and_count_the_cut_prompts(swept: tuple[Path, str]) -> None:
    results, printed = swept
    (report,) = (results / "report").glob("*/report.md")
    for text in (printed, report.read_text()):
        assert "No better than guessing on mmlu" in text
        assert "base, base-torch are at chance: " in text
        assert f"Prompts of mmlu were cut to fit the context: base {N_CUT} of {N_QUESTIONS}, base-torch {N_CUT}" in text


def kept_scores(cache: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in cache.glob("scores/*/[!.]*.sealed")}


def test_a_sweep_killed_while_it_scores_goes_on_from_the_scores_it_kept(
    swept: tuple[Path, str], folder: Path, tiny_model: Path, tmp_path: Path, cache: Path
) -> None:
    results, own_cache = tmp_path / "results", tmp_path / "cache"
    shutil.copytree(cache / "artifacts", own_cache / "artifacts")  # the model is built, no score is kept
    typed = arguments(tiny_model, folder, results, own_cache, "variant=base", "suite.measures=[size,accuracy]")
    child = subprocess.Popen([sys.executable, "-m", "bench.cli", *typed], cwd=ROOT, stdout=subprocess.DEVNULL)
    while child.poll() is None and not kept_scores(own_cache):
        time.sleep(0.005)  # waits for the other process to keep its first scores, times nothing
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    kept = kept_scores(own_cache)
    assert not records(results)
    assert main(typed) == 0
    complete = kept_scores(own_cache)
    assert 0 < len(kept) < len(complete)
    assert {path: complete[path] for path in kept} == kept  # neither changed nor written again
    assert records(results)["base"]["measures"]["accuracy"] == records(swept[0])["base"]["measures"]["accuracy"]
