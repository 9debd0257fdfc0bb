"""The page of a sweep: the decision first, one number a cell, its structure, and text from data that stays text."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from bench.cli import main
from bench.commands.report import stated_questions
from bench.records.selection import Wanted, select
from bench.records.store import read
from bench.report import Report, render
from bench.report.advice.first_screen import first_screen
from bench.report.contents import Contents, contents
from bench.report.findings import findings
from bench.report.grid import Entry, Grid, Line, without_constants
from bench.report.tables.decision import SHOWN
from bench.selftest import records
from bench.summary.summarize import summarize
from tests.report.conftest import SOME, render_all, text_of

EASY = [
    ("requirements", "hr-chatbot"),
    ("requirements.quality", {"domain": {"at_least": 0.6}}),
    ("requirements.not_forgotten", None),
]
"""Limits that some of the made-up variants meet."""
NASTY = "<script>alert(1)<b>\x1b[31m"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    records.write_sweep(results, records.VARIANTS)
    return results


@pytest.fixture(scope="module")
def report(sweep: Path) -> Report:
    return render(sweep, sweep / "out", Wanted(), stated=stated_questions(), typed=EASY)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return text_of(report, "index.html")


def contents_of(results: Path, report: Report) -> Contents:
    chosen = select(read(results)[0], Wanted(), results)
    assert chosen is not None
    summary = summarize(chosen.records)
    return contents(chosen, summary, report.advice, findings(chosen, summary, ()))


def part(page: str, opening: str, closing: str) -> str:
    return page[page.index(opening) :].partition(closing)[0]


def rows_of(table: str) -> list[str]:
    return re.findall(r"<tr[^>]*>.*?</tr>", table, re.DOTALL)


def text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_the_heading_is_the_decision_and_the_choice_stands_first(report: Report, page: str) -> None:
    assert report.advice is not None
    assert report.advice.ship is not None
    ship = report.advice.ship.name
    assert text(part(page, "<h1>", "</h1>")) == first_screen(report.advice).heading
    _, first, *_ = rows_of(part(page, '<section id="decision">', "</section>"))
    assert first.startswith('<tr class="pick"')
    assert text(first).split()[0] == ship


def test_the_table_to_decide_by_has_seven_columns_and_no_control(report: Report, page: str) -> None:
    head, *rows = rows_of(part(page, '<section id="decision">', "</section>"))
    assert head.count("<th ") == 7
    assert [text(cell) for cell in re.findall(r"<th .*?</th>", head)][-1] == "Verdict"
    assert report.advice is not None
    names = {text(row).split()[0] for row in rows}
    assert names == {one.name for one in report.advice.variants}
    shown = [text(row).split()[0] for row in rows if 'class="more"' not in row]
    assert len(shown) == SHOWN
    assert "base" in shown
    assert f"all {len(rows)} candidates" in page


def test_every_cell_has_one_number(sweep: Path, report: Report) -> None:
    content = contents_of(sweep, report)
    grids = [content.decision, *content.sections, *(grid for fold in content.folds for grid in fold.grids)]
    assert len(grids) > 10
    shared = [entry.text for grid in grids for line in grid.lines for entry in line.entries if " / " in entry.text]
    assert shared == []


def test_a_column_whose_cells_are_all_alike_becomes_a_note() -> None:
    lines = tuple(Line((Entry(name), Entry("400", "2 rounds"), Entry(name * 2))) for name in "ab")
    grid = without_constants(Grid("g", "Title", "", ("Variant", "Requests", "Other"), lines, ("A note.",)))
    assert grid.columns == ("Variant", "Other")
    assert grid.notes == ("Alike in all rows: Requests: 400 (2 rounds).", "A note.")
    names_alone = Grid("g", "Title", "", ("Variant", "Requests"), tuple(Line(line.entries[:2]) for line in lines))
    assert without_constants(names_alone) is names_alone


def test_the_page_has_one_main_one_heading_and_tables_with_captions_and_row_headers(page: str) -> None:
    assert page.count("<main") == page.count("<h1") == 1
    tables = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    assert len(tables) > 10
    for table in tables:
        assert table.startswith("<table>\n<caption")
        assert all('<th scope="row"' in row for row in rows_of(table)[1:])


def test_every_link_within_the_page_has_its_one_target(page: str) -> None:
    targets = re.findall(r'\bid="([^"]*)"', page)
    links = set(re.findall(r'<a [^>]*href="#([^"]*)"', page))
    assert {"machine", "variants", "rule-lines", "term-p99", "term-tokens-s", "term-verdict"} <= links
    assert {link: targets.count(link) for link in links} == dict.fromkeys(links, 1)


def test_what_is_not_the_answer_is_folded(page: str) -> None:
    summaries = [text(summary) for summary in re.findall(r"<summary>.*?</summary>", page)]
    assert {"Why this one", "The rule it is decided by", "Tests between variants", "Each subject"} <= set(summaries)
    assert {"Memory", "Checks and warnings", "Commands to reproduce", "Glossary: how to read this"} <= set(summaries)
    assert "<details open" not in page


def test_the_markdown_has_the_same_order(report: Report, page: str) -> None:
    markdown = text_of(report)
    heading = text(part(page, "<h1>", "</h1>"))
    assert markdown.startswith(f"# {heading}\n")
    order = ["decision.svg", "## Candidates", "## What quantizing costs", "<details><summary>Why this one"]
    places = [markdown.index(mark) for mark in order]
    assert places == sorted(places)


def test_a_trial_run_says_on_top_that_it_decides_nothing(tmp_path: Path) -> None:
    for name in ("base", "q4"):
        content = records.record(name)
        content["config"]["measures"]["accuracy"] = {"limit": 20}
        records.write(tmp_path, content)
    report = render_all(tmp_path, tmp_path / "out")
    banner = part(text_of(report, "index.html"), '<p class="banner">', "</p>")
    assert "This report decides nothing: it is of a trial run, which asked at most 20 questions of each task" in banner
    assert "**This report decides nothing" in text_of(report).split("\n\n")[1]


def test_a_suite_without_limits_says_how_to_state_some(tmp_path: Path) -> None:
    content = records.record("base")
    content["config"]["suite"] = "of my own"
    records.write(tmp_path, content)
    page = text_of(render(tmp_path, tmp_path / "out", Wanted()), "index.html")
    assert "Not decided: this sweep has no limits to be judged by" in part(page, "<h1>", "</h1>")
    assert "bench report requirements=NAME" in page
    assert "Verdict" not in part(page, '<section id="decision">', "</section>")


def test_requirements_are_taken_like_those_of_advise(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = sweep / "typed"
    arguments = ["report", "--results", str(sweep), "--out", str(out), "--format", "html"]
    assert main([*arguments, "requirements=hr-chatbot", "requirements.max_p99_ms=0.001"]) == 0
    assert "<h1>Nothing " in (out / "index.html").read_text()
    assert main([*arguments, "requirements=nobody"]) == 2
    assert "requirements: no 'nobody'" in capsys.readouterr().err


def test_text_from_data_stays_text(tmp_path: Path) -> None:
    for name in SOME:
        records.write(tmp_path, records.record(name))
    failed = {**records.failed("q4", 1)}
    failed["error"] = {**failed["error"], "message": NASTY, "reproduce": NASTY}
    records.write(tmp_path, failed)
    named = {**records.record("q4"), "variant": NASTY, "warnings": [NASTY]}
    named["config"] = {**named["config"], "variant": {**named["config"]["variant"], "name": NASTY}}
    records.write(tmp_path, named)
    typed = [("requirements", "hr-chatbot"), ("requirements.quality.general", {"keeps": 0.9, "of": NASTY})]
    report = render(tmp_path, tmp_path / "out", Wanted(), typed=typed)
    page = text_of(report, "index.html")
    assert page.count("<script>") == 1
    assert page.count("&lt;script&gt;alert(1)") > 5
    assert "to solve before you decide" in part(page, '<p class="banner bad">', "</p>")
    assert part(page, '<ul class="chips">', "</ul>").count("<li ") <= 4
    for file in report.files:
        assert file.suffix == ".png" or "\x1b" not in file.read_text()
    assert "<script>" not in text_of(report).replace("`<script>", "")
