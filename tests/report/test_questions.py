"""The questions of a suite in a report: in the words of the suite, and none where it asks none."""

from __future__ import annotations

import re
from pathlib import Path

from bench.commands.report import stated_questions
from bench.records.selection import Wanted
from bench.report import render
from bench.selftest import records
from tests.report.conftest import render_all, text_of
from variants.paths import ROOT

CODE = (".py", ".j2")


def test_a_suite_without_questions_has_no_tables_of_questions(tmp_path: Path) -> None:
    content = records.record("base")
    content["config"]["suite"] = "of my own"
    records.write(tmp_path, content)
    text = text_of(render_all(tmp_path, tmp_path / "out"))
    asked = stated_questions()["embedded"]
    assert asked.options is not None
    assert asked.order is not None
    assert asked.changes is not None
    for title in (asked.options.title, asked.order.title, asked.changes.title, "Article"):
        assert title not in text
    assert "## All variants" in text


def test_questions_that_a_record_states_are_shown_in_its_words(tmp_path: Path) -> None:
    for name in ("base", "q2"):
        content = records.record(name)
        content["config"]["questions"] = {
            "domain_task": "general",
            "options": {
                "title": "Is the smallest one good enough?",
                "says": "On what it knew before.",
                "rows": [{"title": "As it is", "variant": "base"}, {"title": "Small", "variant": "q2"}],
                "kept": {"before": "base", "after": "q2"},
            },
        }
        records.write(tmp_path, content)
    report = render(tmp_path, tmp_path / "out", Wanted())
    options = text_of(report).split("## Is the smallest one good enough?")[1].split("\n## ")[0]
    assert "| Option | Size | E2E P50, ms | E2E P99, ms | general: right |" in options
    assert "| Small (q2) | 1.70 MB (4.06× smaller) |" in options
    assert "q2 keeps 67.7 % of what base gets right on general" in options
    page = next(file for file in report.files if file.name == "index.html").read_text()
    assert "Is the smallest one good enough?" in page
    assert 'id="order"' not in page


def test_the_code_of_the_report_names_no_variant_no_task_and_no_article() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "bench" / "report").rglob("*.*") if path.suffix in CODE)
    variants = {path.stem for path in (ROOT / "conf" / "variant").glob("*.yaml")} - {"base"}  # a word of its own
    names = "|".join(sorted(re.escape(name) for name in variants))
    assert re.findall(rf"(?<![\w.-])(?:{names}|(?i:hr|articles?))(?![\w-])", sources) == []
