"""`bench history`: the page, its charts, the table of points, and links between pages."""

from __future__ import annotations

from typing import Any

import pytest

from bench.cli import main
from bench.history.branch import branch_commits
from bench.report.charts.history import history_chart
from tests.branch import Branch

SWEEP = "embedded-reference"


def test_the_command_writes_the_page_the_charts_and_the_points(
    branch: Branch, capsys: pytest.CaptureFixture[str]
) -> None:
    branch.measure(range(12), slower=lambda place: 1.2 if place >= 6 else 1.0, variants=("q4", "q8"))
    arguments = ["history", "--results", str(branch.results), "--variant", "q4", "--metric", "e2e_p50_ms,accuracy hr"]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "main: 12 of 12 commits measured" in output
    assert "2 series, 0 breaks: 1 change, 1 for the worse" in output
    written = branch.results / "report" / SWEEP
    files = {"history.html", "history.json", "history.csv", "history-e2e_p50_ms.svg"}
    assert {path.name for path in written.iterdir()} == files
    page = (written / "history.html").read_text()
    assert 'id="chart-history-e2e_p50_ms"' in page
    assert "1 series without a change" in page
    assert "Accuracy, hr" in page
    assert branch.shas[6][:12] in page
    lines = (written / "history.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 12
    assert main([*arguments, "--format", "pdf"]) == 2
    assert "--format: got 'pdf', allowed: html, svg, csv" in capsys.readouterr().err


def test_releases_are_named_on_the_axis_and_the_page(branch: Branch) -> None:
    branch.git("tag", "v1.0", branch.shas[3])
    branch.git("tag", "-a", "-m", "release", "v2.0", branch.shas[8])
    branch.measure(range(12), slower=lambda place: 1.2 if place >= 6 else 1.0)
    assert [(c.place, c.tags) for c in branch_commits(branch.results, "main") if c.tags] == [
        (0, ("v0",)),
        (3, ("v1.0",)),
        (8, ("v2.0",)),
    ]
    assert main(["history", "--results", str(branch.results)]) == 0
    svg = (branch.results / "report" / SWEEP / "history-e2e_p50_ms.svg").read_text()
    assert ">v1.0<" in svg
    assert ">v2.0<" in svg
    assert "Releases" in (branch.results / "report" / SWEEP / "history.html").read_text()


def test_all_pages_of_the_report_link_to_each_other(branch: Branch, capsys: pytest.CaptureFixture[str]) -> None:
    branch.measure(range(3))
    results = ["--results", str(branch.results)]
    assert main(["report", *results]) == 0
    index = branch.results / "report" / SWEEP / "index.html"
    assert "history.html" not in index.read_text()
    assert main(["history", *results]) == 0
    assert '<a href="history.html">' in index.read_text()
    assert '<a href="index.html">' in (branch.results / "report" / SWEEP / "history.html").read_text()
    assert main(["report", *results]) == 0
    assert index.read_text().count('<a href="history.html">') == 1
    capsys.readouterr()


def test_a_chart_is_drawn_again_only_where_what_it_shows_has_changed(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def counted(name: str, *content: Any) -> str:
        drawn.append(name)
        return history_chart(name, *content)

    def charts() -> dict[str, str]:
        drawn.clear()
        assert main(["history", "--results", str(branch.results), "--metric", "e2e_p50_ms,e2e_p99_ms"]) == 0
        return {path.name: path.read_text() for path in (branch.results / "report" / SWEEP).glob("*.svg")}

    monkeypatch.setattr("bench.report.pages.history.history_chart", counted)
    branch.measure(range(12), slower=lambda place: 1.2 if place >= 6 else 1.0)
    first = charts()
    assert sorted(drawn) == ["e2e_p50_ms", "e2e_p99_ms"]
    assert charts() == first
    assert drawn == []
    (kept,) = branch.cache.glob("history/*/history-e2e_p50_ms.svg")
    kept.write_text(kept.read_text()[:20])
    assert charts() == first
    assert drawn == ["e2e_p50_ms"]
    branch.git("tag", "v9.9", branch.shas[4])
    assert all(">v9.9<" in svg for svg in charts().values())
    assert sorted(drawn) == ["e2e_p50_ms", "e2e_p99_ms"]
