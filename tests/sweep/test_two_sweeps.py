"""Two sweeps that run at the same time on one checkout, and results of two machines that meet in git."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.machine.git import State
from bench.records.store import read
from bench.selftest import records
from bench.sweep.plan.cell import make_cell
from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import parse
from bench.sweep.record import moved
from tests.conftest import make
from tests.sweep.conftest import arguments
from variants.paths import ROOT


def start(typed: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.cli", *typed]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def names(results: Path) -> list[str]:
    return sorted(path.name.partition(".")[0].partition("~")[0] for path in results.glob("*/*/*.r*.json"))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (["variant=base,q4"], ["base", "q4"]),
        (["variant=q4,base", "latency.requests=5"], ["base", "base", "q4", "q4"]),
    ],
    ids=["the same sweep", "two sweeps"],
)
def test_sweeps_started_at_the_same_time_lose_and_mix_nothing(
    tiny_model: Path,
    tmp_path: Path,
    cache: Path,
    catalogue: dict[str, dict[str, object]],
    other: list[str],
    expected: list[str],
) -> None:
    """Two sweeps both want to build everything. Of the same one a cell is run once, and so nothing is built twice."""
    results, own_cache = tmp_path / "results", tmp_path / "cache"
    if len(expected) == 2:
        make(cache, catalogue, ["source", "gguf", "q4"])
        own_cache = cache
    both = (["variant=base,q4"], other)
    fast = "suite.measures=[size,latency]"
    running = [start(arguments(tiny_model, results, own_cache, fast, *own)) for own in both]
    printed = [child.communicate()[0] for child in running]
    assert [child.returncode for child in running] == [0, 0], printed
    sound, left_out = read(results)
    assert left_out == []
    assert len(sound) == len(expected)
    assert names(results) == expected
    for record in sound:
        assert record.latency is not None
        assert len(record.latency.e2e_ms) == record.config.measures["latency"]["requests"]
        assert record.status == "ok"
    assert all(path.read_text().startswith('{\n "sha256": ') for path in results.glob("*/*/*.r*.json"))
    fingerprints = {(record.variant, record.fingerprint) for record in sound}
    assert len(fingerprints) == 2  # built once, or twice the same
    leftovers = [
        path for path in results.rglob("*") if path.is_file() and path.suffix == "" and "report" not in path.parts
    ]
    assert leftovers == []


def test_a_checkout_that_changed_under_a_sweep_is_named_in_its_records(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell(compose(parse([f"model={tiny_model}"]), "base", 0))
    now = State(cell.commit.sha, cell.commit.dirty, cell.commit.tree)
    monkeypatch.setattr("bench.sweep.record.state", lambda root: now)
    assert moved(cell) == []
    monkeypatch.setattr("bench.sweep.record.state", lambda root: replace(now, tree="another"))
    assert moved(cell)[0].startswith("the checkout changed after this sweep began")


def test_results_of_two_machines_merge_in_git_without_a_conflict(tmp_path: Path) -> None:
    def git(*typed: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *typed]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "measured")
    commit = {"sha": git("rev-parse", "HEAD"), "dirty": False, "tree": "clean"}
    for branch, machine in (("here", "one-2c"), ("there", "two-4c")):
        git("checkout", "-q", "-b", branch, "main")
        content = json.loads(json.dumps({**records.record("q4"), "commit": commit}))
        content["machine"]["id"] = machine
        records.write(tmp_path / "results", content)
        git("add", "results")
        git("commit", "-q", "-m", f"results of {machine}")
    git("merge", "-q", "--no-edit", "here")
    sound, left_out = read(tmp_path / "results")
    assert ({record.machine.id for record in sound}, left_out) == ({"one-2c", "two-4c"}, [])
