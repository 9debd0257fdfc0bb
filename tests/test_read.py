"""Records read back: the tidy table, files that are no records, and which sweep is meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.read import read, select
from tests import records

SOME = {name: records.VARIANTS[name] for name in ("base", "q4")}


def commit(sha: str, dirty: bool = False) -> dict[str, Any]:
    return {"sha": sha * 40, "dirty": dirty, "tree": "clean"}


def test_the_table_has_a_row_per_cell_and_metric(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=2)
    table = bench.load(tmp_path)
    assert not table.duplicated(["variant", "round", "metric", "task"]).any()
    one = table[(table.variant == "q4") & (table["round"] == 0)].set_index("metric")
    assert one.loc["size_bytes", "value"] == 2_300_000
    assert one.loc["accuracy"].task.tolist() == ["general", "hr"]
    p99 = one.loc["e2e_p99_ms"]
    assert (p99.unit, p99.n) == ("ms", 140)
    assert p99.low < p99.value
    assert table.high[table.metric == "e2e_p99_ms"].isna().all()  # 140 requests give no upper end
    assert set(table.metric[table["round"] == 1]) == set(table.metric) - {"accuracy", "accuracy_macro"}


def test_a_failed_cell_is_in_the_table_with_its_error(tmp_path: Path) -> None:
    records.write(tmp_path, records.failed("qlora"))
    table = bench.load(tmp_path)
    assert table.error.str.startswith("out of memory").all()
    assert table.metric.isna().any()


def test_no_records_make_an_empty_table_with_the_same_columns(tmp_path: Path) -> None:
    empty = list(bench.load(tmp_path).columns)
    records.write_sweep(tmp_path, SOME, rounds=1)
    assert list(bench.load(tmp_path).columns) == empty


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 9}, "schema 9 is unknown"),
        ({"measures": None}, "`measures` is missing or of the wrong type"),
        ({"commit": {}}, "incomplete"),
        ({"measures": {"latency": {"ttft_ms": [1.0], "tpot_ms": [], "e2e_ms": [1.0]}}}, "columns of lengths"),
    ],
)
def test_a_file_that_is_no_record_is_named_and_left_out(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    good = records.write(tmp_path, records.record("base"))
    bad = good.with_name("q4.r0.json")
    bad.write_text(json.dumps({**records.record("q4"), **change}))
    found, left_out = read(tmp_path)
    assert [record.path for record in found] == [good]
    assert len(left_out) == 1
    assert str(bad) in left_out[0]
    assert said in left_out[0]
    with pytest.warns(UserWarning, match=r"q4\.r0\.json"):
        bench.load(tmp_path)


def test_a_record_cut_short_is_left_out(tmp_path: Path) -> None:
    path = records.write(tmp_path, records.record("base"))
    path.write_text(path.read_text()[:1000])
    assert read(tmp_path)[0] == []
    assert str(path) in read(tmp_path)[1][0]


def test_head_is_chosen_before_newer_records_of_other_commits(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    shas = []
    for number in range(3):
        git("commit", "-q", "--allow-empty", "-m", str(number))
        shas.append(git("rev-parse", "HEAD"))
    results = tmp_path / "results"
    for when, sha in (("2026-11-24", shas[0]), ("2026-11-25", "f" * 40), ("2026-11-23", shas[1])):
        state = {"sha": sha, "dirty": False, "tree": "clean"}
        records.write(results, {**records.record("base"), "commit": state, "started_at": f"{when}T00:00:00+00:00"})
    chosen = select(read(results)[0])
    assert chosen is not None
    assert (chosen.sha, chosen.why) == (shas[1], "the nearest commit with records, 1 before HEAD")


def test_the_state_measured_last_is_chosen_and_never_mixed(tmp_path: Path) -> None:
    for name, state, hour in (("base", commit("a"), 1), ("q4", commit("a"), 2), ("base", commit("a", True), 3)):
        content = {**records.record(name), "commit": state, "started_at": f"2026-11-23T0{hour}:00:00+00:00"}
        records.write(tmp_path, content)
    found, _ = read(tmp_path)
    chosen = select(found)
    assert chosen is not None
    assert (chosen.dirty, chosen.label, len(chosen.records)) == (True, "aaaaaaaaaaaa-dirty", 1)
    assert select(found, commit="bbbb") is None
    assert select(found, machine="elsewhere") is None


def test_sweeps_of_one_commit_are_kept_apart(tmp_path: Path) -> None:
    stock = records.record("base")
    records.write(tmp_path, stock)
    other = {**stock, "sweep": "smoke-reference", "started_at": "2026-11-24T00:00:00+00:00"}
    path = records.write(tmp_path, other)
    path.rename(path.with_name("base~smoke-reference.r0.json"))
    records.write(tmp_path, stock)
    found, _ = read(tmp_path)
    newest, asked = select(found), select(found, sweep="embedded-reference")
    assert newest is not None
    assert asked is not None
    assert (newest.sweep, asked.sweep) == ("smoke-reference", "embedded-reference")
    assert len(newest.records) == len(asked.records) == 1


def test_reading_and_reporting_import_no_runtime(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=1)
    code = (
        "import sys; from pathlib import Path; import bench; from bench.report import render\n"
        f"render(Path({str(tmp_path)!r}), Path({str(tmp_path / 'report')!r})); bench.load({str(tmp_path)!r})\n"
        "print(sorted({'torch', 'llama_cpp', 'lm_eval', 'variants', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_bench_is_light() -> None:
    code = "import sys, bench, bench.read, bench.report; print({'pandas', 'matplotlib', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
