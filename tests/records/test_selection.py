"""Which sweep is meant: HEAD or the nearest commit, one state of it, one machine, one sweep."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import bench
from bench.records.selection import Wanted, select
from bench.records.store import read
from bench.records.types import Commit
from bench.selftest import records
from tests.records.conftest import chosen_of, typed


def commit(sha: str, dirty: bool = False) -> dict[str, Any]:
    return {"sha": sha * 40, "dirty": dirty, "tree": "changed" if dirty else "clean"}


def test_two_uncommitted_states_of_one_commit_are_two_sweeps(tmp_path: Path) -> None:
    for tree, hour in (("aaaa", 1), ("bbbb", 2)):
        state = {"sha": records.COMMIT, "dirty": True, "tree": tree}
        started = f"2026-11-23T0{hour}:00:00+00:00"
        records.write(tmp_path, {**records.record("q4"), "commit": state, "started_at": started})
    labels = [chosen_of(tmp_path, Wanted(f"{records.COMMIT}{of}")).label for of in ("-dirty", "-dirty-aaaa")]
    assert labels == ["0123456789ab-dirty-bbbb", "0123456789ab-dirty-aaaa"]
    assert len(bench.load(tmp_path).tree.unique()) == 2


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
    chosen = chosen_of(results)
    assert (chosen.sha, chosen.why) == (shas[1], "the nearest commit with records, 1 before HEAD")


def test_the_state_measured_last_is_chosen_and_never_mixed(tmp_path: Path) -> None:
    for name, state, hour in (("base", commit("a"), 1), ("q4", commit("a"), 2), ("base", commit("a", True), 3)):
        content = {**records.record(name), "commit": state, "started_at": f"2026-11-23T0{hour}:00:00+00:00"}
        records.write(tmp_path, content)
    chosen = chosen_of(tmp_path)
    assert (chosen.dirty, chosen.label, len(chosen.records)) == (True, "aaaaaaaaaaaa-dirty-changed", 1)
    for wanted in (Wanted(commit="bbbb"), Wanted(machine="elsewhere")):
        assert select(read(tmp_path)[0], wanted, tmp_path) is None


def test_sweeps_of_one_commit_are_kept_apart(tmp_path: Path) -> None:
    stock = records.record("base")
    records.write(tmp_path, stock)
    other = {**stock, "sweep": "smoke-reference", "started_at": "2026-11-24T00:00:00+00:00"}
    path = records.write(tmp_path, other)
    path.rename(path.with_name("base~smoke-reference.r0.json"))
    records.write(tmp_path, stock)
    newest, asked = chosen_of(tmp_path), chosen_of(tmp_path, Wanted(sweep="embedded-reference"))
    assert (newest.sweep, asked.sweep) == ("smoke-reference", "embedded-reference")
    assert len(newest.records) == len(asked.records) == 1


CLEAN = typed(records.record("q4"))
DIRTY = replace(CLEAN, commit=Commit(records.COMMIT, True, "aaaa1111bbbb"))


@pytest.mark.parametrize(
    ("wanted", "clean", "dirty"),
    [
        (Wanted(), True, True),
        (Wanted(commit=records.COMMIT), True, True),
        (Wanted(commit=records.COMMIT[:4]), True, True),
        (Wanted(commit="ffff"), False, False),
        (Wanted(commit=f"{records.COMMIT[:12]}-dirty"), False, True),
        (Wanted(commit=f"{records.COMMIT[:12]}-dirty-aaaa"), False, True),
        (Wanted(commit=f"{records.COMMIT[:12]}-dirty-bbbb"), False, False),
        (Wanted(machine=records.MACHINE), True, True),
        (Wanted(machine="elsewhere"), False, False),
        (Wanted(sweep="embedded-reference"), True, True),
        (Wanted(sweep="smoke-reference"), False, False),
        (Wanted(records.COMMIT, records.MACHINE, "smoke-reference"), False, False),
    ],
)
def test_a_record_fits_what_is_wanted_in_commit_state_machine_and_sweep(
    wanted: Wanted, clean: bool, dirty: bool
) -> None:
    assert (wanted.fits(CLEAN), wanted.fits(DIRTY)) == (clean, dirty)


def test_a_record_without_a_repository_is_asked_for_as_no_commit() -> None:
    record = replace(CLEAN, commit=Commit(None, True, "aaaa"))
    assert record.label == "no-commit-dirty-aaaa"
    assert Wanted(commit="no-commit").fits(record)
    assert Wanted(commit="no-commit-dirty").fits(record)


def test_what_is_wanted_is_named_as_it_is_typed() -> None:
    assert str(Wanted(commit="abc", sweep="smoke-reference")) == "--commit abc, --sweep smoke-reference"
    assert str(Wanted()) == ""
