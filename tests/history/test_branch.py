"""The history of a branch: git's order, what is part of it, and which notes a reader needs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from bench.selftest import records
from tests.branch import Branch
from variants.errors import UserError


def test_points_are_in_gits_order_and_not_in_that_of_records_or_files(branch: Branch) -> None:
    def late_first(place: int, content: dict[str, Any]) -> None:
        content["started_at"] = f"2026-01-{30 - place:02d}T00:00:00+00:00"

    branch.measure([9, 4, 0], change=late_first)
    assert [point.commit.place for point in branch.series("size_bytes").points] == [0, 4, 9]


def test_a_merged_branch_is_one_step_and_its_own_commits_are_named(branch: Branch) -> None:
    main_line = branch.shas[-1]
    branch.git("checkout", "-q", "-b", "side", main_line)
    branch.git("commit", "-q", "--allow-empty", "-m", "aside")
    aside = branch.git("rev-parse", "HEAD")
    branch.git("checkout", "-q", "main")
    branch.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    branch.shas += [aside, branch.git("rev-parse", "HEAD")]
    branch.measure([29, 30, 31])
    shown = branch.history()
    assert [commit.sha for commit in shown.commits] == [main_line, branch.shas[31]]
    assert any("1 commit with records not on this branch" in note and aside[:12] in note for note in shown.notes)
    assert [point.commit.sha for point in branch.series("size_bytes", branch="side").points] == [main_line, aside]


def test_uncommitted_states_are_no_part_of_a_history_and_a_note_counts_them(branch: Branch) -> None:
    branch.measure([0, 1, 2])
    clean = branch.files(2)[0].parent
    clean.rename(clean.with_name(f"{clean.name}-dirty-abc"))
    shown = branch.history()
    assert shown.measured == 2
    assert "1 uncommitted state with records: not part of a history" in shown.notes


def test_a_failed_commit_is_no_point_and_is_listed_as_a_failure(branch: Branch) -> None:
    def fails(place: int, content: dict[str, Any]) -> None:
        if place == 1:
            fields = records.failed("q4", content["round"])
            content.update(
                {key: fields[key] for key in ("status", "measures", "lineage", "artifact", "session", "error")}
            )

    branch.measure([0, 1, 2], change=fails)
    assert [point.commit.place for point in branch.series("size_bytes").points] == [0, 2]
    assert [commit.place for commit in branch.history().failures["q4"]] == [1]


def test_the_machine_is_that_of_the_newest_commit_and_others_are_named(branch: Branch) -> None:
    branch.measure([0, 1, 2, 3])
    branch.measure([4], change=lambda place, content: content["machine"].update(id="other"))
    folder = branch.files(4)[0].parent
    (branch.results / "other").mkdir()
    folder.rename(branch.results / "other" / folder.name)
    shown = branch.history()
    assert (shown.machine, shown.measured) == ("other", 1)
    assert any(f"{records.MACHINE} (4 commits)" in note for note in shown.notes)
    assert branch.history(machine=records.MACHINE).measured == 4


def test_mistakes_are_one_line_with_what_is_allowed(branch: Branch) -> None:
    with pytest.raises(UserError, match="no records under"):
        branch.history()
    branch.measure([0, 1])
    for options, complaint in (
        ({"machine": "nonesuch"}, f"--machine: got 'nonesuch', allowed: {records.MACHINE}"),
        ({"sweep": "nonesuch"}, "no records of committed states"),
        ({"variants": ["q9"]}, "--variant: got 'q9', allowed: q4"),
        ({"metrics": ["speed"]}, "--metric: got 'speed', allowed: size_bytes"),
        ({"branch": "nonesuch"}, "--branch: git knows no commits of 'nonesuch'"),
    ):
        with pytest.raises(UserError, match=complaint):
            branch.history(**options)


def test_a_history_imports_no_runtime(branch: Branch) -> None:
    branch.measure([0, 1])
    code = (
        "import sys; from pathlib import Path; from bench.history.branch import history\n"
        f"history(Path({str(branch.results)!r}), Path({str(branch.cache)!r}))\n"
        "print(sorted({'torch', 'llama_cpp', 'lm_eval', 'transformers', 'pandas'} & set(sys.modules)),"
        "sorted({one for one in sys.modules if one.startswith('variants.')} - {'variants.errors', 'variants.paths'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"
