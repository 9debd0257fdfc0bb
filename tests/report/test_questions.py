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
                "claims": [
                    {"title": "a fourth", "metric": "size_bytes", "times": [4], "before": "base", "after": "q2"},
                    {"title": "quick", "metric": "tokens_per_s", "times": [7, 8], "before": "base", "after": "q2"},
                    {"title": "as good", "metric": "accuracy", "times": [0.98], "before": "base", "after": "q2"},
                    {
                        "title": "cheap",
                        "metric": "cost",
                        "times": [10],
                        "before": "base",
                        "after": "q2",
                        "source": "ad",
                    },
                    {"title": "tiny", "metric": "size_bytes", "times": [9], "before": "base", "after": "q1"},
                ],
            },
        }
        records.write(tmp_path, content)
    report = render(tmp_path, tmp_path / "out", Wanted())
    options = text_of(report).split("## Is the smallest one good enough?")[1].split("\n## ")[0]
    assert "| Option | Size | E2E P50, ms | general: right |" in options
    assert "| Small (q2) | 1.70 MB |" in options
    claims = text_of(report).split("## Claimed: claimed against measured")[1].split("\n## ")[0]
    lines = {line.split(" ")[1]: line for line in claims.splitlines() if line.startswith("| ")}
    assert lines["a"] == "| a fourth (base → q2) | *4×* | 4.06× | 1.01 | yes |"
    assert lines["quick"].startswith("| quick (base → q2) | *7–8×* | 1.")
    assert lines["quick"].endswith("| not shown |")  # one round
    assert lines["as"].startswith("| as good (base → q2) | *98 %* | 67.7 % (")
    assert lines["cheap"] == "| cheap (base → q2) | *10×* | not measured | – | – |"
    assert "cheap: ad; not measured (cost needs a measured capacity)." in claims
    assert "tiny: not measured (no q1 in this sweep)." in claims
    page = next(file for file in report.files if file.name == "index.html").read_text()
    assert "Is the smallest one good enough?" in page
    assert 'id="order"' not in page


def test_the_code_of_the_report_names_no_variant_no_task_and_no_article() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "bench" / "report").rglob("*.*") if path.suffix in CODE)
    variants = {path.stem for path in (ROOT / "conf" / "variant").glob("*.yaml")} - {"base"}  # a word of its own
    names = "|".join(sorted(re.escape(name) for name in variants))
    assert re.findall(rf"(?<![\w.-])(?:{names}|(?i:hr|articles?))(?![\w-])", sources) == []
