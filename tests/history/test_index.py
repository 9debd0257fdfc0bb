"""The index of a folder of records: what it saves, and that a broken one is made again."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bench.records import store
from bench.records.file import sealed
from bench.report.history_csv import comma_separated
from tests.branch import Branch


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which every commit whose records are opened is added."""
    opened: list[str] = []
    real = store.read

    def counted(path: Path, label: str = "*") -> Any:
        opened.append(label)
        return real(path, label)

    monkeypatch.setattr(store, "read", counted)
    return opened


def test_the_index_reads_a_commit_again_only_where_a_record_changed(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch.measure([0, 1, 2])
    before = branch.history()
    opened = reads(monkeypatch)
    assert branch.history() == before
    assert opened == []
    path = branch.files(1)[0]
    content = json.loads(path.read_text())
    content.pop("sha256", None)
    content["measures"]["size"]["size_bytes"] += 1
    path.write_text(sealed(content))
    assert [point.value.value for point in branch.series("size_bytes").points] == [2_300_000, 2_300_001, 2_300_000]
    assert opened == [branch.shas[1][:12]]
    for gone in branch.files(2):
        gone.unlink()
    assert [point.commit.place for point in branch.series("size_bytes").points] == [0, 1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "old", "commits": {}}', '{"version": 1}', "\x00\xff"])
def test_a_broken_index_is_built_again(branch: Branch, content: str) -> None:
    branch.measure([0, 1])
    before = branch.history()
    (index,) = branch.cache.glob("history/*/index.json")
    index.write_text(content, encoding="latin-1")
    assert branch.history() == before
    assert json.loads(index.read_text())["commits"].keys() == {sha[:12] for sha in branch.shas[:2]}


def test_an_index_whose_inside_is_broken_is_built_again(branch: Branch) -> None:
    branch.measure([0, 1])
    before = branch.history()
    (index,) = branch.cache.glob("history/*/index.json")
    content = json.loads(index.read_text())
    content["shared"] = []
    index.write_text(json.dumps(content))
    assert branch.history() == before


def test_a_file_left_out_is_named_again_from_the_index(branch: Branch) -> None:
    branch.measure([0, 1])
    branch.files(1)[0].write_text('{"schema": 1, "measures": ')
    first, again = branch.history().left_out, branch.history().left_out
    assert len(first) == 1
    assert str(branch.files(1)[0]) in first[0]
    assert again == first


def test_the_points_are_written_alike_from_records_and_from_the_index(branch: Branch) -> None:
    branch.measure([0, 1])
    from_records, from_index = (comma_separated(branch.history()) for _ in range(2))
    assert from_index == from_records
    assert ",2300000,,,\n" in from_records


def test_a_folder_that_cannot_be_read_costs_no_other_commit(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    branch.measure([0, 1])
    closed = branch.files(1)[0].parent
    scandir, access = os.scandir, os.access

    def refused(path: Any = ".") -> Any:
        if str(path) == str(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)  # modes do not bind root, who may run the tests
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(closed) and access(path, mode))
    history = branch.history()
    assert history.measured == 1
    assert history.left_out == (f"{closed}: Permission denied",)
