"""The whole path on a tiny model: records, what is skipped, what fails, what a kill leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.records.file import sealed
from bench.sweep.child import died
from tests.sweep.conftest import arguments
from variants.paths import ROOT

Records = dict[str, dict[str, Any]]
FAST = "suite.measures=[size,latency]"


def records(results: Path) -> Records:
    return {p.name.partition("~")[0]: json.loads(p.read_text()) for p in sorted(results.glob("*/*/*.r*.json"))}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, cache: Path) -> tuple[Path, list[str]]:
    """One finished sweep of two variants, and the arguments that made it."""
    results = tmp_path_factory.mktemp("results")
    typed = arguments(tiny_model, results, cache, "variant=base,q4")
    assert main(typed) == 0
    return results, typed


def test_a_record_holds_identity_lineage_and_raw_samples(swept: tuple[Path, list[str]]) -> None:
    q4 = records(swept[0])["q4"]
    assert q4["schema"] == 1
    assert q4["status"] == "ok"
    assert [made["step"] for made in q4["lineage"]] == ["source", "gguf", "q4"]
    assert q4["artifact"]["fingerprint"] == q4["lineage"][-1]["fingerprint"]
    assert q4["measures"]["size"]["size_bytes"] == q4["lineage"][-1]["size_bytes"]
    latency = q4["measures"]["latency"]
    assert len(latency["ttft_ms"]) == len(latency["tpot_ms"]) == len(latency["e2e_ms"]) == 4
    assert latency["evaluated_tokens"] == latency["prompt_tokens"]
    assert q4["measures"]["memory"]["peak_resident_bytes"] > 20_000_000
    for task in ("general", "hr"):
        columns = q4["measures"]["accuracy"][task]
        assert columns["n"] == len(columns["gold"]) == len(columns["picked"]) == len(columns["loglik"]) == 6
        assert [row.index(max(row)) for row in columns["loglik"]] == columns["picked"]
    assert q4["session"]["device"] in ("cpu", "cuda")
    assert None not in (q4["versions"]["torch"], q4["versions"]["llama-cpp-python"], q4["versions"]["lm-eval"])
    assert set(q4["canary"]) == {"before", "after"}
    first, second = q4["company"]["deterministic"], q4["company"]["timed"]
    assert (first["measures"], first["machine"]) == (["size", "accuracy"], "shared")
    assert (second["measures"], second["machine"]) == (["latency", "memory"], "alone")
    assert first["started_at"] <= second["started_at"] == q4["started_at"]
    assert q4["seconds"]["measure"] == pytest.approx(q4["seconds"]["deterministic"] + q4["seconds"]["timed"], abs=0.02)


def test_the_scores_are_those_of_lm_evals_own_model(swept: tuple[Path, list[str]], tiny_model: Path) -> None:
    """Compare with lm-eval's HFLM on the same questions; half precision weights move a sum by a little."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    from bench.tasks.load import load

    ours = records(swept[0])["base"]["measures"]["accuracy"]["general"]
    reference = HFLM(pretrained=str(tiny_model), dtype="float32", batch_size=1, device="cpu", add_bos_token=True)
    tasks = {"tasks": load("general", None, None, 0).leaves}
    theirs = evaluate(reference, tasks, limit=6, bootstrap_iters=0)["samples"]["general"]
    for sample, row in zip(sorted(theirs, key=lambda s: int(s["doc_id"])), ours["loglik"], strict=True):
        assert [answer[0] for answer in sample["filtered_resps"]] == pytest.approx(row, abs=0.1)


def test_running_again_skips_what_is_finished_and_changes_nothing(swept: tuple[Path, list[str]]) -> None:
    before = {p: p.read_bytes() for p in swept[0].glob("*/*/*.r*.json")}
    assert main(swept[1]) == 0
    assert {p: p.read_bytes() for p in swept[0].glob("*/*/*.r*.json")} == before


def test_finished_cells_need_no_artifacts_and_so_nothing_is_to_build(
    swept: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*swept[1], f"cache_dir={tmp_path / 'empty'}"]) == 0
    printed = capsys.readouterr().out
    assert "2 finished, 0 to run" in printed
    assert "artifacts  0 to build\n" in printed
    assert not (tmp_path / "empty" / "artifacts").exists()


def test_what_hydra_writes_lies_in_the_cache_of_the_sweep(swept: tuple[Path, list[str]], cache: Path) -> None:
    assert (cache / "hydra" / "multirun.yaml").is_file()


def test_a_changed_measure_is_another_cell_under_another_name(
    swept: tuple[Path, list[str]], tiny_model: Path, tmp_path: Path, cache: Path
) -> None:
    assert main(arguments(tiny_model, tmp_path, cache, "accuracy.limit=5", "variant=base")) == 0
    path = next(tmp_path.glob("*/*/*.r*.json"))
    assert path.name not in {p.name for p in swept[0].glob("*/*/*.r*.json")}
    assert json.loads(path.read_text())["measures"]["accuracy"]["hr"]["n"] == 5


def test_the_report_is_rendered_at_the_end(swept: tuple[Path, list[str]]) -> None:
    (page,) = (swept[0] / "report").glob("*/index.html")
    assert "q4" in page.read_text()
    assert page.with_name("table.csv").exists()
    assert f'href="{page.parent.name}/index.html"' in (swept[0] / "report" / "index.html").read_text()


def test_a_failing_cell_becomes_a_record_the_sweep_goes_on_and_the_exit_code_says_so(
    tiny_model: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = arguments(tiny_model, tmp_path, cache, "runtime.llamacpp.n_ctx=8", "variant=base,base-torch", FAST)
    assert main(typed) == 1
    by_variant = records(tmp_path)
    assert by_variant["base"]["status"] == "failed"
    assert by_variant["base-torch"]["status"] == "ok"
    error = by_variant["base"]["error"]
    assert error["stage"] == "measure"
    assert "do not fit n_ctx=8" in error["message"]
    assert "size" in by_variant["base"]["measures"]
    printed = capsys.readouterr().out
    assert error["reproduce"] in printed
    again = subprocess.run(error["reproduce"], shell=True, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1
    assert "do not fit n_ctx=8" in again.stderr


def test_a_failed_cell_is_tried_again_and_a_finished_one_is_not(tiny_model: Path, tmp_path: Path, cache: Path) -> None:
    typed = arguments(tiny_model, tmp_path, cache, "variant=base", FAST)
    assert main(typed) == 0
    path = next(tmp_path.glob("*/*/*.r*.json"))
    record = json.loads(path.read_text())
    del record["sha256"]
    path.write_text(sealed({**record, "status": "failed"}))
    assert main(typed) == 0
    assert json.loads(path.read_text())["status"] == "ok"


def test_a_variant_of_three_yaml_lines_runs(
    tiny_model: Path, tmp_path: Path, cache: Path, short_training: dict[str, Any]
) -> None:
    """A copy of the checkout with one more file in conf/variant, and no other change."""
    import shutil

    checkout = tmp_path / "checkout"
    keep = shutil.ignore_patterns(".git", ".venv", ".cache", "results", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, checkout, ignore=keep)
    variant = "name: mine\nsteps: [source, lora, merge, gguf, q3]\nruntime: llamacpp\n"
    (checkout / "conf" / "variant" / "mine.yaml").write_text(variant)
    short = [f"steps.lora.{name}={value}" for name, value in short_training.items()]
    few = ("variant=mine", FAST, *short)
    typed = arguments(tiny_model, tmp_path / "results", cache, *few)
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", *typed],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    q3 = records(tmp_path / "results")["mine"]
    assert "Q3_K" in q3["measures"]["size"]["tensor_types"]
    (text,) = (tmp_path / "results" / "report").glob("*/report.md")
    assert "mine" in text.read_text()


def test_a_native_death_is_explained_in_words() -> None:
    assert "SIGABRT (a native abort)" in died(-signal.SIGABRT)
    assert "perhaps out of memory" in died(-signal.SIGKILL)
    assert "exited with 3" in died(3)
