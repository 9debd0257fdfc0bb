"""What tests of the report share: rendering a made-up sweep, and reading the files that were written."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from bench.commands.report import stated_questions
from bench.records.selection import Wanted, select
from bench.records.store import read
from bench.report import Report, render
from bench.report.findings import Finding
from bench.selftest import raw_values, records
from bench.summary.rows import Row, Summary
from bench.summary.summarize import summarize

FEW = ("base", "q4", "finetuned", "finetuned-q4", "base-torch", "qlora")


SOME = {name: records.VARIANTS[name] for name in FEW}


def render_all(results: Path, out: Path) -> Report:
    """Render as `bench report` does: with the questions of this checkout's suites."""
    return render(results, out, Wanted(), stated=stated_questions())


def summary_of(results: Path) -> Summary:
    chosen = select(read(results)[0], Wanted(), results)
    assert chosen is not None
    return summarize(chosen.records, stated_questions())


def rows_of(results: Path) -> dict[str, Row]:
    return summary_of(results).by_name


def findings_of(results: Path) -> tuple[Finding, ...]:
    return render(results, results / "report", Wanted(), ("csv",)).findings


def text_of(report: Report, name: str = "report.md") -> str:
    return next(file for file in report.files if file.name == name).read_text()


def table_of(report: Report) -> dict[str, dict[str, str]]:
    return {line["variant"]: line for line in csv.DictReader(text_of(report, "table.csv").splitlines())}


def overview(report: Report) -> dict[str, dict[str, str]]:
    """Return the table of all variants by variant and column."""
    lines = [line for line in section(text_of(report), "All variants").splitlines() if line.startswith("| ")]
    titles, _, *cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    rows = [dict(zip(titles, row, strict=False)) for row in cells]
    return {row["Variant"].split()[0]: row for row in rows}


SHARES = {"base": 0.62, "q4": 0.60, "q2": 0.26, "base-torch": 0.62}


KL = {"q4": 0.02, "q2": 0.4, "base-torch": 3e-6}


EXAMPLE = {"text": "naïve café", "gguf": [1, 5, 9], "hf": [1, 5, 8, 7]}


def mmlu_record(name: str) -> dict[str, Any]:
    content = records.record(name)
    model = [step for step in records.VARIANTS[name][0] if step != "gguf"]
    mmlu = raw_values.answers("mmlu", SHARES[name], model, questions=57 * 6)
    if name == "q4":
        mmlu["truncated"] = 37
        mmlu["tokenizer"] = {"compared": 1200, "different": 3, "example": EXAMPLE}
    tasks = {"mmlu": mmlu, "gsm8k": raw_values.generated(SHARES[name]), "wikitext": raw_values.rolling(2.5)}
    content["measures"]["accuracy"] = tasks
    if name in KL:
        content["measures"]["divergence"] = raw_values.divergence(KL[name])
    return content


def section(text: str, title: str) -> str:
    """Return what stands under a heading of any depth, up to the next heading or the end of its fold."""
    return re.split(r"\n#+ |\n</details>", text.split(f"## {title}\n")[1])[0]
