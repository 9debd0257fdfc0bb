"""The page of a comparison: every verdict with its numbers, what could not be compared and why, flips, links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.cli import main
from bench.selftest import records, repository

VARIANTS = {name: records.VARIANTS[name] for name in ("base", "q4", "finetuned", "finetuned-q4")}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two commits: q4 is slower and forgets, finetuned answers to another workload, finetuned-q4 fails."""
    shas = repository.make_commits(tmp_path, 2)
    folder = tmp_path / "results"
    repository.write_history(
        folder, shas, 3, 150, tuple(VARIANTS), slower=lambda place, variant: 1.3 if place and variant == "q4" else 1.0
    )
    for path in (folder / records.MACHINE / shas[1][:12]).glob("*.json"):
        content = json.loads(path.read_text())
        content.pop("sha256")
        if content["variant"] == "q4" and "accuracy" in content["measures"]:
            answers = content["measures"]["accuracy"]["general"]
            answers["picked"] = [
                (gold + 1) % 4 if i % 9 == 0 else picked
                for i, (gold, picked) in enumerate(zip(answers["gold"], answers["picked"], strict=True))
            ]
        if content["variant"] == "finetuned":
            content["measures"]["latency"]["output_tokens"] = 64
        if content["variant"] == "finetuned-q4":
            fields = records.failed("finetuned-q4", content["round"])
            content |= {key: fields[key] for key in ("status", "measures", "lineage", "artifact", "session", "error")}
        path.write_text(json.dumps(content))
    return folder


def page_of(results: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, Path]:
    assert main(["compare", "HEAD~1", "HEAD", "--results", str(results), "--format", "html", *arguments]) == 1
    (path,) = (results / "report").glob("compare-*.html")
    assert f"page: {path}" in capsys.readouterr().out
    return path.read_text(), path


def rows_of(page: str, section: str) -> list[list[str]]:
    part = page[page.index(f'<section id="{section}">') :].partition("</section>")[0]
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", part, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", line, re.DOTALL)]
        for line in lines[1:]
    ]


def test_every_verdict_is_on_the_page_with_its_numbers(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, path = page_of(results, capsys)
    assert re.fullmatch(r"compare-[0-9a-f]{12}-[0-9a-f]{12}\.html", path.name)
    rows = {(row[0], row[1]): row for row in rows_of(page, "all")}
    slower = rows["q4", "e2e_p50_ms"]
    assert "worse" in slower
    ratio = next(float(cell.removesuffix("×")) for cell in slower if cell.endswith("×"))
    assert ratio == pytest.approx(1.3, abs=0.05)
    assert any(" to " in cell for cell in slower)
    assert "same" in rows["base", "size_bytes"]
    assert "output_tokens: 32 / 64" in rows["finetuned", "e2e_p50_ms"]
    assert any(row[0] == "finetuned-q4" and "now fails" in row for row in rows.values())
    assert "REGRESSION" in page
    assert "copy_gb_s" in page


def test_what_matters_comes_first_and_nothing_that_is_the_same(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, _ = page_of(results, capsys)
    notable = rows_of(page, "notable")
    assert not any("same" in row or "undecided" in row for row in notable)
    assert "worse" in notable[0]
    assert page.index('id="notable"') < page.index('id="chart-effects"') < page.index('id="all"')


def test_flipped_questions_are_listed(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, _ = page_of(results, capsys)
    flips = rows_of(page, "flips")
    assert len(flips) > 20
    assert {row[0] for row in flips} == {"q4"}
    assert {row[-1] for row in flips} == {"lost"}


def test_the_page_is_self_contained_escaped_and_the_same_every_time(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, path = page_of(results, capsys)
    assert "&lt;killed&gt;" in page
    assert not re.search(r'(src|href)="https?:', page)
    assert page_of(results, capsys)[0] == page
    assert main(["report", "--results", str(results)]) == 0
    assert f'<a href="{path.name}">' in (path.parent / "index.html").read_text()
