"""The table as CSV: plain numbers, one line per variant, empty where nothing was measured."""

from __future__ import annotations

import csv
import io

from bench.metrics.chance import chance_level
from bench.metrics.divergence import divergence_of
from bench.metrics.metric import Metric
from bench.stats.proportions import Paired
from bench.summary.rows import Row, Summary

Columns = dict[str, str | float | None]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a text begins that a spreadsheet runs as a formula; some read the wide letters of East Asian scripts alike."""


def inert(cell: object) -> object:
    """Return a cell of a CSV file: a text that a spreadsheet would run has an apostrophe in front, as OWASP advises."""
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(FORMULA) else cell


def comma_separated(summary: Summary) -> str:
    """Write the rows; units are in the names of the metrics, shares run from 0 to 1. Text from data is no formula.

    A metric has its value and, where it has them, the ends of its 95 % interval and the number of samples; how many
    times better than the base, or the paired difference to it with what belongs to that.
    """
    lines = [_line(row, summary) for row in summary.rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(lines[0]) if lines else ["variant"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: inert(cell) for name, cell in line.items()} for line in lines)
    return out.getvalue()


def _line(row: Row, summary: Summary) -> Columns:
    line: Columns = {
        "variant": row.variant,
        "family": row.family.name,
        "runtime": row.runtime,
        "base": row.reference,
        "status": "failed" if row.failed else "partly failed" if row.failures else "ok",
    }
    for metric in summary.metrics:
        if summary.measured(metric.name):
            line |= _metric(row, metric, summary)
    for task in summary.tasks:
        answers = row.answers.get(task)
        line[f"chance_level_{task}"] = chance_level(answers) if answers else None
        line[f"cut_prompts_{task}"] = answers.truncated if answers else None
    if summary.measured("kl_mean"):
        measured = divergence_of(row.records)
        line["kl_rounding_floor"] = _short(measured.rounding_floor if measured else None)
    line["error"] = "; ".join(f"round {f.round + 1}: {f.stage}: {f.message}" for f in row.failures)
    line["warnings"] = "; ".join(row.warnings)
    return line


def _metric(row: Row, metric: Metric, summary: Summary) -> Columns:
    """Write a metric of a row; all rows have the columns that any row has a value of."""
    name = metric.name.replace(" ", "_")
    estimate = row.values.get(metric.name)
    columns: Columns = {name: _short(estimate.value if estimate else None)}
    estimates = [other.values[metric.name] for other in summary.rows if metric.name in other.values]
    if any(one.low is not None or one.high is not None for one in estimates):
        columns[f"{name}_low"] = _short(estimate.low if estimate else None)
        columns[f"{name}_high"] = _short(estimate.high if estimate else None)
    if any(one.n for one in estimates):
        columns[f"{name}_n"] = estimate.n if estimate else None
    if any(len(other.rounds(metric.name)) > 1 for other in summary.rows):
        columns[f"{name}_rounds"] = " ".join(f"{value:.6g}" for value in row.rounds(metric.name))
    if any(other.ratio(metric.name) for other in summary.rows):
        columns |= _ratio(row, metric.name, f"{name}_better_than_base", summary)
    if any(other.paired(metric.name) for other in summary.rows):
        columns |= _difference(row.paired(metric.name), f"{name}_difference")
        beside = row.beside_base.get(metric.name)
        columns[f"{name}_difference_p_holm"] = _short(beside.p_holm if beside else None)
    return columns


def _ratio(row: Row, metric: str, name: str, summary: Summary) -> Columns:
    ratio = row.ratio(metric)
    columns: Columns = {name: _short(ratio.value if ratio else None)}
    if any(one.low is not None for other in summary.rows if (one := other.ratio(metric))):
        columns[f"{name}_low"] = _short(ratio.low if ratio else None)
        columns[f"{name}_high"] = _short(ratio.high if ratio else None)
    return columns


def _difference(paired: Paired | None, name: str) -> Columns:
    columns: Columns = {name: _short(paired.difference if paired else None)}
    for key in ("low", "high", "gained", "lost", "p", "detectable"):
        columns[f"{name}_{key}"] = _short(getattr(paired, key, None))
    return columns


def _short(value: float | None) -> float | None:
    return float(f"{value:.6g}") if isinstance(value, float) else value
