"""`bench list`: what results/ holds, and which files are no sound records."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.records.file import seal
from bench.selftest import records, repository
from tests.checkout import Checkout, failing

Capture = pytest.CaptureFixture[str]


def test_list_shows_commits_in_gits_order_with_cells_and_failures(checkout: Checkout, capsys: Capture) -> None:
    early = "2020-01-01T00:00:00+00:00"
    checkout.measure(checkout.base, lambda c: c.update(started_at="2026-12-01T00:00:00+00:00"))

    def last_fails(content: dict[str, Any]) -> None:
        content.update(started_at=early)
        if content["round"] == 2:
            failing(content)

    checkout.measure(checkout.head, last_fails)
    checkout.measure("e" * 40)  # a commit that this repository does not know
    assert main(["list", "--results", str(checkout.results)]) == 0
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert title == f"embedded-reference on {records.MACHINE}"
    assert [row.split()[0] for row in rows if row[2] != " "] == [checkout.head[:12], checkout.base[:12], "e" * 12]
    assert rows[0].split() == [checkout.head[:12], "2020-01-01", "00:00", "3", "1", "1"]
    assert rows[1] == "    failed: q4 1"
    assert rows[2].split()[3:] == ["3", "–", "1"]


def test_list_counts_the_variants_and_names_them_on_request(tmp_path: Path, capsys: Capture) -> None:
    repository.make_history(tmp_path, 1, rounds=1, requests=5)
    results = ["list", "--results", str(tmp_path / "results")]
    assert main(results) == 0
    assert "finetuned-q4" not in capsys.readouterr().out
    assert main([*results, "--long"]) == 0
    assert "finetuned-q4" in capsys.readouterr().out


def test_list_shows_the_newest_commits_and_counts_the_rest(tmp_path: Path, capsys: Capture) -> None:
    shas = repository.make_history(tmp_path, 5, rounds=1, requests=5)
    assert main(["list", "--results", str(tmp_path / "results"), "--limit", "2"]) == 0
    output = capsys.readouterr().out
    assert [sha[:12] in output for sha in shas] == [False, False, False, True, True]
    assert "and 3 more commits with 36 records" in output
    assert main(["list", "--results", str(tmp_path / "results"), "--all"]) == 0
    assert all(sha[:12] in capsys.readouterr().out for sha in shas[:1])


def resealed(text: str) -> str:
    first, _, rest = text.partition("\n")
    return seal(f"{first}\n{rest.partition(chr(10))[2]}")


@pytest.mark.parametrize(
    ("spoil", "complaint", "at_once"),
    [
        (lambda text: text[:-50], "not JSON, perhaps cut short", True),
        (lambda text: resealed(text.replace('"schema": 1', '"schema": 7')), "schema 7 is unknown", True),
        (
            lambda text: resealed(text.replace('"id": "test-cpu-2c"', '"id": "other"')),
            "machine: the record says other",
            True,
        ),
        (lambda text: text.replace('"e2e_ms": [', '"e2e_ms": [NaN, '), "NaN is no number", False),
    ],
)
def test_list_names_what_is_no_sound_record(
    checkout: Checkout, capsys: Capture, spoil: object, complaint: str, at_once: bool
) -> None:
    checkout.measure(checkout.head)
    path = checkout.results / records.MACHINE / checkout.head[:12] / "q4.r1.json"
    path.write_text(spoil(path.read_text()))  # type: ignore[operator]
    results = ["--results", str(checkout.results)]
    assert main(["list", *results]) == int(at_once)
    assert bool(re.search(complaint, capsys.readouterr().err)) == at_once
    assert main(["list", "--check", *results]) == 1
    output = capsys.readouterr().err
    assert re.search(complaint, output)
    assert len(output.splitlines()) == 1
    assert str(path) in output


def test_list_of_nothing_says_so(tmp_path: Path, capsys: Capture) -> None:
    assert main(["list", "--results", str(tmp_path)]) == 0
    assert "no records under" in capsys.readouterr().out


def test_the_names_that_overrides_take_are_listed(capsys: Capture) -> None:
    assert main(["list", "--names"]) == 0
    output = capsys.readouterr().out
    assert "finetuned-q4" in output
    assert "lora" in output
