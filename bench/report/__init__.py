"""Render the report of a sweep from its records alone: one page, one Markdown file, one CSV file and the charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import write_at_once
from bench.records.selection import Selection, Wanted, select
from bench.records.store import read
from bench.report.pages.html import link_pages

if TYPE_CHECKING:
    from bench.records.questions import Questions
    from bench.report.findings import Finding
    from bench.report.grid import Grid
    from bench.summary.rows import Summary

FORMATS = ("md", "html", "csv", "svg")


@dataclass(frozen=True)
class Report:
    """What was written and from which records; `selection` is None, and nothing written, where there are none.

    `outcome` is the short table that a sweep ends with.
    """

    files: tuple[Path, ...]
    selection: Selection | None
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]
    outcome: Grid | None = None

    def __str__(self) -> str:
        """Name the file to open first."""
        if not self.files:
            return "not written, no record matches"
        return str(next((file for file in self.files if file.name == "index.html"), self.files[0]))


def render(
    results: Path,
    out: Path,
    wanted: Wanted,
    formats: Sequence[str] = FORMATS,
    stated: Mapping[str, Questions] | None = None,
) -> Report:
    """Write the report of one sweep: index.html, report.md, table.csv and one SVG per chart.

    Which sweep is `bench.records.selection.select`'s choice. `stated` has the questions of suites by name, for records
    of before records stated them. Raises ValueError for a format that is not in FORMATS.
    """
    unknown = set(formats) - set(FORMATS)
    if unknown:
        raise ValueError(f"format: got {', '.join(sorted(unknown))}; allowed: {', '.join(FORMATS)}")
    records, unread = read(results, f"{wanted.commit.partition('-dirty')[0][:12]}*" if wanted.commit else "*")
    left_out = [str(file) for file in unread]
    selection = select(records, wanted, results)
    if selection is None:
        return Report((), None, (), tuple(left_out))
    from bench.report.terminal import outcome_grid
    from bench.summary.summarize import summarize

    summary = summarize(selection.records, stated)
    files, findings = _texts(selection, summary, left_out, formats)
    out.mkdir(parents=True, exist_ok=True)
    written = tuple(write_at_once(out / name, text) for name, text in files.items())
    link_pages(out)
    return Report(written, selection, tuple(findings), tuple(left_out), outcome_grid(summary))


def _texts(
    selection: Selection, summary: Summary, left_out: Sequence[str], formats: Sequence[str]
) -> tuple[dict[str, str | bytes], list[Finding]]:
    from bench.report.charts.draw import draw_all
    from bench.report.findings import findings
    from bench.report.markdown import markdown
    from bench.report.pages.sweep import headline, page
    from bench.report.table_csv import comma_separated
    from bench.report.tables.accuracy import task_grids
    from bench.report.tables.divergence import divergence_grid
    from bench.report.tables.latency import latency_grids
    from bench.report.tables.overview import overview_grid
    from bench.report.tables.trade_offs import question_grids

    known = findings(selection, summary, left_out)
    head = headline(selection, summary)
    grids = [overview_grid(summary), *question_grids(summary)]
    grids += [*divergence_grid(summary), *task_grids(summary), *latency_grids(summary)]
    charts = draw_all(summary, None) if {"html", "svg"} & set(formats) else {}
    files: dict[str, str | bytes] = {}
    if "svg" in formats:
        for name, chart in charts.items():
            files |= {f"{name}.svg": chart.slide, f"{name}.png": chart.png, f"{name}.csv": chart.csv}
    if "csv" in formats:
        files["table.csv"] = comma_separated(summary)
    if "md" in formats:
        files["report.md"] = markdown(head, known, grids, charts if "svg" in formats else {})
    if "html" in formats:
        files["index.html"] = page(head, known, grids, charts)
    return files, known
