"""The page of a comparison: every verdict with its numbers, what could not be compared and why, flips, links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.cli import main
from bench.records.file import sealed
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
        path.write_text(sealed(content))
    return folder


def page_of(results: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, Path]:
    assert main(["compare", "HEAD~1", "HEAD", "--results", str(results), "--format", "html", *arguments]) == 1
    (path,) = (results / "report" / "embedded-reference").glob("compare-*.html")
    assert f"page: {path}" in capsys.readouterr().out
    return path.read_text(), path


def rows_of(page: str, section: str) -> list[dict[str, str]]:
    """Return the rows of a table by the titles of its columns."""
    part = page[page.index(f'<section id="{section}">') :].partition("</section>")[0]
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", part, re.DOTALL)
    cells = [
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[dh][ >].*?</t[dh]>", line, re.DOTALL)]
        for line in lines
    ]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def test_the_outcome_is_the_heading_and_the_verdict_comes_second(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, path = page_of(results, capsys)
    assert re.fullmatch(r"compare-[0-9a-f]{12}-[0-9a-f]{12}\.html", path.name)
    heading = page.partition("<h1>")[2].partition("</h1>")[0]
    assert heading.startswith("Regression: q4 worse in ")
    assert "finetuned-q4 now fails" in heading
    notable = rows_of(page, "notable")
    assert list(notable[0])[:5] == ["Variant", "Metric", "Verdict", "Why", "Base"]
    assert notable[0]["Verdict"] == "worse"
    slower = next(row for row in notable if row["Metric"] == "Time of a request, median" and row["Variant"] == "q4")
    assert float(slower["Change"].removesuffix("×")) == pytest.approx(1.3, abs=0.05)
    assert float(slower["From"]) < 1.3 < float(slower["To"])
    other = next(row for row in notable if (row["Variant"], row["Metric"]) == ("finetuned", slower["Metric"]))
    assert other["Why"] == "output_tokens: 32 / 64"


def test_what_is_the_same_is_folded_and_hashes_come_last(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, path = page_of(results, capsys)
    assert not any(row["Verdict"] in ("same", "undecided") for row in rows_of(page, "notable"))
    same = page.index('<section id="same">')
    assert page[same:].startswith('<section id="same">\n<details>')
    assert ("base", "Size") in {(row["Variant"], row["Metric"]) for row in rows_of(page, "same")}
    label = path.stem.split("-")[1]
    assert label not in page.partition('id="same"')[0].partition("<main")[2]
    assert label in page.partition('<details id="compared">')[2]


def test_a_variant_that_one_side_lacks_is_one_line(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, _ = page_of(results, capsys)
    (failed,) = (row for row in rows_of(page, "notable") if row["Variant"] == "finetuned-q4")
    assert failed["Verdict"] == "now fails"
    assert re.fullmatch(r"all \d+ values", failed["Metric"])
    assert "killed" in failed["Why"]


def test_flips_show_the_question_and_both_answers(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, _ = page_of(results, capsys)
    flips = rows_of(page, "flips")
    assert len(flips) > 20
    assert {row["Flip"] for row in flips} == {"lost"}
    assert all(row["Right answer"] == row["Answer of base"] != row["Answer of head"] for row in flips)
    assert "text not in this checkout" in flips[0]["Question"]


def test_the_page_is_self_contained_escaped_and_the_same_every_time(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, path = page_of(results, capsys)
    assert "&lt;killed&gt;" in page
    assert not re.search(r'(src|href)="https?:', page)
    assert page_of(results, capsys)[0] == page
    assert main(["report", "--results", str(results)]) == 0
    assert f'<a href="{path.name}">' in (path.parent / "index.html").read_text()
