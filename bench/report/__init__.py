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
    from bench.advise.advice import Advice
    from bench.advise.named import Typed
    from bench.records.questions import Questions
    from bench.report.findings import Finding
    from bench.report.grid import Grid
    from bench.summary.rows import Summary

FORMATS = ("md", "html", "csv", "svg")
DRAWN = ("html", "svg")
"""The formats with charts in them."""
WRITTEN = ".written"
"""The file that lists what a report wrote into its folder: only that does a later report take away again."""


@dataclass(frozen=True)
class Report:
    """What was written and from which records; `selection` is None, and nothing written, where there are none.

    `outcome` is the short table that a sweep ends with; `advice` is None where no limits were stated.
    """

    files: tuple[Path, ...]
    selection: Selection | None
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]
    outcome: Grid | None = None
    advice: Advice | None = None

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
    typed: Typed = (),
) -> Report:
    """Write the report of one sweep: index.html, report.md, table.csv, and of each chart two SVG, a PNG and a CSV file.

    Which sweep is `bench.records.selection.select`'s choice. `stated` has the questions of suites by name, for records
    of before records stated them; `typed` the requirements to judge by, else those that the suite names. A chart that
    an earlier report wrote and this one did not draw is removed.
    Raises ValueError for a format that is not in FORMATS, UserError for requirements that are none.
    """
    unknown = set(formats) - set(FORMATS)
    if unknown:
        raise ValueError(f"format: got {', '.join(sorted(unknown))}; allowed: {', '.join(FORMATS)}")
    records, unread = read(results, f"{wanted.commit.partition('-dirty')[0][:12]}*" if wanted.commit else "*")
    left_out = [str(file) for file in unread]
    selection = select(records, wanted, results)
    if selection is None:
        return Report((), None, (), tuple(left_out))
    from bench.report.findings import findings
    from bench.report.terminal import outcome_grid
    from bench.summary.summarize import summarize

    summary = summarize(selection.records, stated)
    advice = _advice(selection, summary, typed)
    known = findings(selection, summary, left_out)
    written = _write(out, _files(selection, summary, advice, known, formats), bool(set(DRAWN) & set(formats)))
    link_pages(out)
    return Report(written, selection, tuple(known), tuple(left_out), outcome_grid(summary), advice)


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
    selection: Selection, summary: Summary, advice: Advice | None, known: Sequence[Finding], formats: Sequence[str]
) -> dict[str, str | bytes]:
    from bench.report.charts.draw import draw_all
    from bench.report.contents import contents
    from bench.report.markdown import markdown
    from bench.report.pages.sweep import page
    from bench.report.table_csv import comma_separated

    content = contents(selection, summary, advice, known)
    charts = draw_all(summary, advice) if set(DRAWN) & set(formats) else {}
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


def _write(out: Path, files: Mapping[str, str | bytes], drawn: bool) -> tuple[Path, ...]:
    """Write files into a folder, and remove the charts of an earlier report that were not drawn this time."""
    out.mkdir(parents=True, exist_ok=True)
    written = tuple(write_at_once(out / name, content) for name, content in files.items())
    listing = out / WRITTEN
    earlier = listing.read_text(encoding="utf-8").split("\n") if listing.exists() else []
    names = {Path(name).name for name in earlier if name}  # a name with a folder in it is none of ours
    stale = {name for name in names if drawn and name not in files and Path(name).suffix in (".svg", ".png", ".csv")}
    stale.discard("table.csv")
    for name in stale:
        (out / name).unlink(missing_ok=True)
    write_at_once(listing, "\n".join(sorted((names | files.keys()) - stale)))
    return written
