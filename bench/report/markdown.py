"""The report as Markdown: the same tables, for a merge request or a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.report.charts.chart import Chart
from bench.report.findings import Finding
from bench.report.grid import Entry, Grid
from bench.report.pages.sweep import DEFINITIONS, FIRST, Headline


def markdown(
    headline: Headline, findings: Sequence[Finding], grids: Sequence[Grid], charts: Mapping[str, Chart]
) -> str:
    """Write the whole report; charts are linked as the SVG files beside it."""
    parts = [
        f"# {headline.title}",
        headline.says,
        "\n".join(f"- {name}: {value}" for name, value in headline.facts),
    ]
    if findings:
        parts += ["## Read this first", "\n".join(_finding(finding) for finding in findings)]
    parts += [_grid(grid) for grid in grids if grid.key in FIRST]
    parts += [f"![{plain(chart.alt)}]({name}.svg)" for name, chart in charts.items()]
    parts += [_grid(grid) for grid in grids if grid.key not in FIRST]
    parts += ["## How to read this", "\n".join(f"- **{name}**: {text}" for name, text in DEFINITIONS)]
    return "\n\n".join(parts) + "\n"


def _finding(finding: Finding) -> str:
    mark = {"bad": "**Problem**", "note": "Note", "good": "Passed"}[finding.level]
    command = f" To reproduce: `{finding.command}`" if finding.command else ""
    return f"- {mark} · {plain(finding.title)}: {plain(finding.text)}{command}"


def _grid(grid: Grid) -> str:
    rows = [grid.columns, ["---"] + ["--:"] * (len(grid.columns) - 1)]
    rows += [[_entry(entry) for entry in line.entries] for line in grid.lines]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    names = [line.entries[0].text for line in grid.lines]
    wide = [
        f"- {name}: {plain(line.wide)}{f' To reproduce: `{line.code}`' if line.code else ''}"
        for name, line in zip(names, grid.lines, strict=True)
        if line.wide
    ]
    body = filter(None, (grid.says, table, "\n".join(wide), *grid.notes))
    if grid.folded:
        return "\n\n".join((f"<details><summary>{grid.title}</summary>", *body, "</details>"))
    return "\n\n".join((f"## {grid.title}", *body))


def _entry(entry: Entry) -> str:
    text = f"{entry.text} ({entry.sub})" if entry.text and entry.sub else entry.text or entry.sub
    return plain(f"*{text}*" if entry.tone == "claim" else text)


def plain(text: str) -> str:
    """Write a text in one line, without what Markdown reads as a column or a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
