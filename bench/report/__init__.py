"""Render the report of a sweep from its records alone: one page, one Markdown file, one CSV file and the charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.records.selection import Selection, Wanted, find
from bench.report.pages.folder import check_folder

if TYPE_CHECKING:
    from bench.advise.advice import Advice
    from bench.advise.named import Typed
    from bench.compare.flips import Texts
    from bench.records.questions import Questions
    from bench.records.types import Record
    from bench.report.charts.chart import Chart
    from bench.report.contents import Contents
    from bench.report.findings import Finding
    from bench.report.grid import Grid
    from bench.summary.rows import Summary

FORMATS = ("md", "html", "csv", "svg")
DRAWN = ("html", "svg")
"""The formats with charts in them."""


@dataclass(frozen=True)
class Report:
    """What was written and from which records; `selection` is None, and nothing written, where there are none.

    `outcome` is the short table that a sweep ends with; `advice` is None where no limits were stated. `answer` is what
    the report says first. `not_drawn` says which charts failed, and why.
    """

    files: tuple[Path, ...]
    selection: Selection | None
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]
    outcome: Grid | None = None
    advice: Advice | None = None
    answer: str = ""
    not_drawn: tuple[str, ...] = ()

    @property
    def page(self) -> Path | None:
        """Return the file to open first, None where nothing was written."""
        return next((file for file in self.files if file.name == "index.html"), next(iter(self.files), None))


def render(
    results: Path,
    out: Path | None,
    wanted: Wanted,
    formats: Sequence[str] = FORMATS,
    stated: Mapping[str, Questions] | None = None,
    typed: Typed = (),
    texts_of: Callable[[Sequence[Record]], Texts] | None = None,
) -> Report:
    """Write the report of one sweep: index.html, report.md, table.csv, and of each chart two SVG, a PNG and a CSV file.

    They go to `out`, or to the folder of the sweep under `results/report`, which the list there names.
    Which sweep is `bench.records.selection.select`'s choice. `stated` has the questions of suites by name, for records
    of before records stated them; `typed` the requirements to judge by, else those that the suite names;
    `texts_of` finds the texts of the questions of records. What an earlier report wrote and this one, in all formats,
    did not write is removed.
    Raises ValueError for a format that is not in FORMATS, UserError for requirements that are none and for a folder
    that takes no files.
    """
    unknown = set(formats) - set(FORMATS)
    if unknown:
        raise ValueError(f"format: got {', '.join(sorted(unknown))}; allowed: {', '.join(FORMATS)}")
    if out:
        check_folder(out)
    selection, left_out = find(results, wanted)
    if selection is None:
        return Report((), None, (), tuple(left_out))
    from bench.report.charts.draw import Drawn, draw_all
    from bench.report.contents import contents
    from bench.report.findings import findings
    from bench.report.pages.folder import write_pages
    from bench.report.pages.listing import about
    from bench.report.terminal import outcome_grid
    from bench.summary.summarize import summarize

    summary = summarize(selection.records, stated)
    advice = _advice(selection, summary, typed)
    drawn = draw_all(summary, advice) if set(DRAWN) & set(formats) else Drawn({}, ())
    known = findings(selection, summary, left_out, drawn.failed)
    texts = texts_of(selection.records) if texts_of else {}
    content = contents(selection, summary, advice, known, texts)
    files = _files(content, summary, drawn.charts, formats)
    entry = about(selection, "report", content.heading, len(summary.rows))
    written = write_pages(results, out, "index", files, entry, set(formats) == set(FORMATS))
    return Report(
        written, selection, tuple(known), tuple(left_out), outcome_grid(summary), advice, content.heading, drawn.failed
    )


def _advice(selection: Selection, summary: Summary, typed: Typed) -> Advice | None:
    """Judge a sweep by the requirements that were typed, else by those that its suite names; None without any."""
    from bench.advise.advice import advise
    from bench.advise.named import chosen, default_of

    default = default_of(selection.records)
    if default is None and not typed:
        return None
    name, requirements = chosen(typed, default)
    return advise(summary, requirements, name)


def _files(
    content: Contents, summary: Summary, charts: Mapping[str, Chart], formats: Sequence[str]
) -> dict[str, str | bytes]:
    from bench.report.markdown import markdown
    from bench.report.pages.sweep import page
    from bench.report.table_csv import comma_separated

    files: dict[str, str | bytes] = {}
    if "svg" in formats:
        for chart in charts.values():
            files |= {f"{chart.name}.svg": chart.slide, f"{chart.name}-narrow.svg": chart.narrow}
            files |= {f"{chart.name}.png": chart.png, f"{chart.name}.csv": chart.csv}
    if "csv" in formats:
        files["table.csv"] = comma_separated(summary)
    if "md" in formats:
        files["report.md"] = markdown(content, charts if "svg" in formats else {})
    if "html" in formats:
        files["index.html"] = page(content, charts, frozenset(files))
    return files
