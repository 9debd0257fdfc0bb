"""The folders of the pages: one per sweep, nothing of an earlier report left in it, all of them in one list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.report.pages.folder import folder_of
from bench.selftest import records
from tests.branch import Branch
from tests.checkout import Checkout

BIG, SMALL = "embedded-reference", "smoke-reference"
Capture = pytest.CaptureFixture[str]


def measure(checkout: Checkout, sweep: str, sha: str, started_at: str, **fields: Any) -> None:
    """Write the records of a sweep of three variants; all but the stock sweep are named in their files."""
    for name in ("base", "q4", "finetuned"):
        content = {**records.record(name), "sweep": sweep, "started_at": started_at, **fields}
        path = records.write(checkout.results, {**content, "commit": {"sha": sha, "dirty": False, "tree": "clean"}})
        if sweep != BIG:
            path.rename(path.with_name(f"{name}~{sweep}.r0.json"))


def report(checkout: Checkout, *typed: str) -> None:
    assert main(["report", "--results", str(checkout.results), *typed]) == 0


def test_a_small_sweep_leaves_the_report_of_the_big_one(checkout: Checkout, capsys: Capture) -> None:
    measure(checkout, BIG, checkout.head, "2026-01-01T00:00:00+00:00")
    report(checkout)
    reports = checkout.results / "report"
    big = (reports / BIG / "index.html").read_text()
    measure(checkout, SMALL, checkout.head, "2026-01-02T00:00:00+00:00")
    capsys.readouterr()
    report(checkout, "--sweep", SMALL)
    assert f"report: {reports / SMALL / 'index.html'}" in capsys.readouterr().out
    assert (reports / BIG / "index.html").read_text() == big
    listed = (reports / "index.html").read_text()
    assert listed.index('href="smoke-reference/index.html"') < listed.index('href="embedded-reference/index.html"')


def test_another_commit_of_a_sweep_takes_the_place_of_the_one_before(checkout: Checkout) -> None:
    for sha in (checkout.base, checkout.head):
        measure(checkout, BIG, sha, "2026-01-01T00:00:00+00:00")
    report(checkout, "--commit", checkout.base)
    report(checkout, "--commit", checkout.head)
    reports = checkout.results / "report"
    assert [path.name for path in reports.iterdir() if path.is_dir()] == [BIG]
    listed = (reports / "index.html").read_text()
    assert checkout.head[:12] in listed
    assert checkout.base[:12] not in listed


def test_a_chart_that_is_not_drawn_again_goes_and_nothing_else_does(checkout: Checkout) -> None:
    measure(checkout, BIG, checkout.base, "2026-01-01T00:00:00+00:00")
    measure(checkout, BIG, checkout.head, "2026-01-02T00:00:00+00:00", measures={})
    report(checkout, "--commit", checkout.base)
    folder = folder_of(checkout.results, BIG)
    (folder / "mine.svg").write_text("<svg/>")
    assert (folder / "latency.svg").exists()
    report(checkout, "--commit", checkout.head)
    assert not (folder / "latency.svg").exists()
    assert (folder / "mine.svg").exists()
    note = folder / "index.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "files": ["index.html", "../index.html", "gone.svg"]}))
    report(checkout, "--commit", checkout.head)
    assert (checkout.results / "report" / "index.html").exists()


def test_one_format_alone_leaves_the_files_of_the_others(checkout: Checkout) -> None:
    measure(checkout, BIG, checkout.base, "2026-01-01T00:00:00+00:00")
    report(checkout)
    folder = folder_of(checkout.results, BIG)
    before = {path.name for path in folder.iterdir()}
    report(checkout, "--format", "csv")
    assert {path.name for path in folder.iterdir()} == before


def test_the_list_says_what_each_report_says_and_leads_to_all_pages(branch: Branch, capsys: Capture) -> None:
    branch.measure(range(3))
    results = ["--results", str(branch.results)]
    assert main(["report", *results]) == 0
    assert main(["history", *results]) == 0
    assert main(["compare", branch.shas[1], branch.shas[2], *results, "--format", "html"]) == 0
    reports = branch.results / "report"
    listed = (reports / "index.html").read_text()
    entry = json.loads((reports / BIG / "index.json").read_text())
    for text in (entry["says"], entry["model"], entry["machine"], entry["commit"], "1 variant"):
        assert text in listed
    links = [part.partition('"')[0] for part in listed.split('href="')[1:]]
    pages = [link for link in links if link.endswith(".html")]
    assert len(pages) == 3
    for link in pages:
        assert '<a href="../index.html">All reports</a>' in (reports / link).read_text()
    capsys.readouterr()


def test_a_folder_of_ones_own_is_in_no_list(checkout: Checkout, tmp_path: Path) -> None:
    measure(checkout, BIG, checkout.base, "2026-01-01T00:00:00+00:00")
    report(checkout, "--out", str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "index.html").exists()
    assert "All reports" not in (tmp_path / "mine" / "index.html").read_text()
    assert not (checkout.results / "report").exists()


@pytest.mark.parametrize("sweep", ["../../elsewhere", "..", "", "smoke-org/name", "<script>"])
def test_the_name_of_a_sweep_leads_nowhere_else(sweep: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, sweep)
    assert folder.parent == tmp_path / "report"
    assert folder.resolve().parent == (tmp_path / "report").resolve()
