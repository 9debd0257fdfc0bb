"""The report as Markdown: the same in the same order, for a merge request or a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from bench.report.charts.chart import Chart
from bench.report.contents import Contents, Fold
from bench.report.findings import Finding
from bench.report.glossary import DEFINITIONS
from bench.report.grid import Entry, Grid

_ACTIVE = re.compile(
    r"[&<\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])"  # tags, code, emphasis, links and images, columns, strokes, formulas
    r"|^>|^[-+=#]+(?=\s|$)|^\d+[.)](?=\s)"  # what begins a quote, a list or a title
    r"|:(?=//)|(?<=\bwww)\."  # addresses, which become links
    r"|[@#](?=\w)"  # people and issues, which GitHub notifies or links back
)
MARKS = {"good": "✓", "warn": "⚠", "bad": "✗"}


def markdown(contents: Contents, charts: Mapping[str, Chart]) -> str:
    """Write the whole report; charts are linked as the SVG files in its folder."""
    shown = dict(charts)
    parts = [f"# {plain(contents.heading)}"]
    parts += [f"**{plain(contents.banner)}**"] if contents.banner else []
    parts += ["\n".join(plain(line) + "  " for line in contents.evidence).rstrip()]
    parts += ["\n".join(f"- {MARKS[chip.level]} {plain(chip.text)}" for chip in contents.chips)]
    parts += [f"- {finding}" for finding in map(_finding, contents.problems)]
    parts += [_chart(shown.pop("decision"))] if "decision" in shown else []
    parts += [_grid(contents.decision), " · ".join(map(plain, contents.context))]
    parts += [_grid(grid) for grid in contents.sections]
    for fold in contents.folds:
        drawn = [shown.pop(chart.name) for chart in fold.drawn(charts)]
        parts += [f"<details><summary>{plain(fold.title)}</summary>", *map(_chart, drawn), *_fold(fold), "</details>"]
    parts += [_chart(chart) for chart in shown.values()]
    parts += ["## How to read this", "\n".join(f"- **{name}**: {text}" for name, text in DEFINITIONS)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _chart(chart: Chart) -> str:
    return f"![{plain(chart.alt)}]({chart.name}.svg)\n\n**{plain(chart.title)}** {plain(chart.subtitle)}".rstrip()


def _fold(fold: Fold) -> Iterator[str]:
    if fold.lines:
        yield "\n".join(f"- {f'**{plain(topic)}**: ' if topic else ''}{plain(text)}" for topic, text in fold.lines)
    if fold.findings:
        yield "\n".join(f"- {_finding(finding)}" for finding in fold.findings)
    yield from (_grid(grid, "###") for grid in fold.grids)
    if fold.commands:
        yield "\n".join(f"- {_code(command)}" for command in fold.commands)


def _finding(finding: Finding) -> str:
    mark = {"bad": "**Problem**", "note": "Note", "good": "Passed"}[finding.level]
    command = f" To reproduce: {_code(finding.command)}" if finding.command else ""
    return f"{mark} · {plain(finding.title)}: {plain(finding.text)}{command}"


def _code(command: str) -> str:
    """Write a command as code in one line: backticks in it would end the code, so that it is put in more of them."""
    line = " ".join(command.splitlines())
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence, room = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{room}{line}{room}{fence}"


def _grid(grid: Grid, level: str = "##") -> str:
    rows = [list(map(plain, grid.columns)), ["---"] + ["--:"] * (len(grid.columns) - 1)]
    rows += [[_entry(entry) for entry in line.entries] for line in grid.lines]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    wide = [
        f"- {plain(line.entries[0].text)}: {plain(line.wide)}"
        + (f" To reproduce: {_code(line.code)}" if line.code else "")
        for line in grid.lines
        if line.wide
    ]
    body = filter(None, (plain(grid.says), table, "\n".join(wide), *map(plain, grid.notes)))
    return "\n\n".join((f"{level} {plain(grid.title)}", *body))


def _entry(entry: Entry) -> str:
    text = f"{entry.text} ({entry.sub})" if entry.text and entry.sub else entry.text or entry.sub
    return f"*{plain(text)}*" if entry.tone == "claim" else plain(text)


def plain(text: str) -> str:
    """Write a text in one line, with references for characters that Markdown, also GitHub's, would read as markup."""
    return _ACTIVE.sub(_inert, " ".join(text.split()))


def _inert(match: re.Match[str]) -> str:
    if match[0] in ("@", "#"):  # GitHub looks for names and numbers after it has read the references
        return f"{match[0]}<!-- -->"
    return "".join({"&": "&amp;", "<": "&lt;"}.get(letter) or f"&#{ord(letter)};" for letter in match[0])
