"""The options of a suite beside what a publication claims for them, and each claim beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.advise.claims import ACCURACY, Checked, checked
from bench.metrics.metric import Metric
from bench.records.questions import Option, Options
from bench.report.entries import value_entry
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, sized, times_span
from bench.summary.rows import Row, Summary

HOLDS = {True: "yes", False: "no", None: "not shown"}


def options_grids(summary: Summary) -> list[Grid]:
    """Make the table of the options that the suite names, on the domain task; none where it names none."""
    asked = summary.questions
    if not asked or not asked.options or not asked.options.rows or not asked.domain_task:
        return []
    return [_options_grid(summary, asked.options, asked.domain_task)]


def _options_grid(summary: Summary, options: Options, task: str) -> Grid:
    """Make it, a line per option, and below it one for what is claimed."""
    accuracy = next((metric for metric in summary.metrics if metric.name == f"accuracy {task}"), None)
    priced = any(option.claim and option.claim.cost for option in options.rows)
    columns = ("Option", "Size", "E2E P50, ms", f"{task}: right", *(("Cost",) if priced else ()))
    lines = [
        line for option in options.rows for line in _lines(summary, options, option, accuracy, columns=len(columns))
    ]
    return Grid("options", options.title, options.says, columns, tuple(lines))


def _lines(summary: Summary, options: Options, option: Option, accuracy: Metric | None, columns: int) -> Iterator[Line]:
    row = summary.by_name.get(option.variant)
    entries = _measured(row, accuracy) if row else [NOT_MEASURED] * 3
    cost = [NOT_MEASURED] * (columns - 1 - len(entries))  # no measure takes a capacity yet
    yield Line((Entry(option.title, option.variant), *entries, *cost), row.family if row else None)
    if claim := option.claim:
        texts = [f"{claim.size_gb:g} GB", f"{claim.latency_ms:g}", f"{claim.quality_percent:g} %", claim.cost or "–"]
        claims = [Entry(text, tone="claim") for text in texts[: columns - 1]]
        yield Line((Entry(options.claimed_by, option.title, "claim"), *claims))


def _measured(row: Row, accuracy: Metric | None) -> list[Entry]:
    size, p50 = (row.values.get(name) for name in ("size_bytes", "e2e_p50_ms"))
    return [
        Entry(sized(size.value)) if size else NOT_MEASURED,
        Entry(digits(p50.value)) if p50 else NOT_MEASURED,
        value_entry(row, [accuracy]) if accuracy else NOT_MEASURED,
    ]


def claims_grids(summary: Summary) -> list[Grid]:
    """Make the table of the claims that the suite brings; none where it brings none."""
    claims = checked(summary)
    options = summary.questions.options if summary.questions else None
    if not claims or options is None:
        return []
    says = "Measured / claimed is 1 where the claim is reached here, and below 1 where it is not."
    columns = ("Claim", "Claimed", "Measured here", "Measured / claimed", "Holds here")
    lines = tuple(Line(tuple(_entries(one))) for one in claims)
    notes = tuple(note for one in claims if (note := _note(one)))
    return [Grid("claims", f"{options.claimed_by}: claimed against measured", says, columns, lines, notes)]


def _entries(one: Checked) -> Sequence[Entry]:
    def write(end: float) -> str:
        return f"{100 * end:.1f}".removesuffix(".0") + " %" if one.claim.metric == ACCURACY else f"{digits(end)}×"

    title = Entry(one.claim.title, f"{one.claim.before} → {one.claim.after}")
    scale, unit = (100, " %") if one.claim.metric == ACCURACY else (1, "×")
    claimed = Entry("–".join(f"{scale * end:g}" for end in dict.fromkeys(one.claim.ends)) + unit, tone="claim")
    if one.measured is None or one.of_claimed is None:
        return title, claimed, NOT_MEASURED, ITSELF, ITSELF
    low, high = one.measured.low, one.measured.high
    between = (
        f"{write(low)} to {write(high)}"
        if low is not None and high is not None
        else times_span(one.measured) and "no interval"
    )
    share = "–".join(dict.fromkeys(f"{end:.2f}" for end in one.of_claimed))
    return title, claimed, Entry(write(one.measured.value), between), Entry(share), Entry(HOLDS[one.holds])


def _note(one: Checked) -> str:
    """Say where a claim is made, and why it was not measured."""
    parts = (one.claim.source, f"not measured ({one.why})" if one.why else "")
    text = "; ".join(filter(None, parts))
    return f"{one.claim.title}: {text}." if text else ""


def claimed_grids(summary: Summary) -> list[Grid]:
    """Return the options beside what is claimed for them and the claims, where the suite brings claims."""
    claims = claims_grids(summary)
    return [*options_grids(summary), *claims] if claims else []
