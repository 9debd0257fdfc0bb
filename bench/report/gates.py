"""What a reader must know before any number: failed controls, failed cells, scores no better than guessing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from bench.read import Record, Selection
from bench.report.grids import tasks_of
from bench.report.numbers import percent, plural, share
from bench.report.table import Failure, Row

SAME_ANSWERS = 0.99
CANARY_DRIFT = 0.10


@dataclass(frozen=True)
class Finding:
    """One line for the top of the report; `bad` means: do not decide from these numbers before it is mended."""

    level: Literal["bad", "note", "good"]
    title: str
    text: str
    command: str = ""


@dataclass(frozen=True)
class Control:
    """The same model in two runtimes, on one task: how often both pick the same answer."""

    a: str
    b: str
    task: str
    n: int
    same: int
    largest_difference: float


def findings(selection: Selection, rows: Sequence[Row], left_out: Sequence[str]) -> list[Finding]:
    """List everything to be said up front, the worst first."""
    found = [
        *_runtime_controls(rows),
        *_failures(rows),
        *_requests(selection.records),
        *_one_sweep(selection),
        *_guessing(rows),
        *_canary(selection.records),
        *(Finding("note", "Left out", line) for line in left_out),
        *_warnings(rows),
    ]
    return sorted(found, key=lambda finding: ("bad", "note", "good").index(finding.level))


def _warnings(rows: Sequence[Row]) -> Iterable[Finding]:
    # Variants share artifacts, so that one warning of a step comes with every variant built on it.
    warned: dict[str, list[str]] = {}
    for row in rows:
        for line in row.warnings:
            warned.setdefault(line, []).append(row.variant)
    for line, variants in warned.items():
        yield Finding("note", ", ".join(variants), line)


def controls(rows: Sequence[Row]) -> list[Control]:
    """Compare the answers of every two variants that are the same model in different runtimes."""
    found = []
    for a, b in combinations(rows, 2):
        if a.runtime == b.runtime or _model(a) != _model(b):
            continue
        for task in a.accuracy.keys() & b.accuracy.keys():
            one, two = a.accuracy[task].answers, b.accuracy[task].answers
            if one["question"] != two["question"]:
                continue
            pairs = zip(one["loglik"], two["loglik"], strict=True)
            largest = max(abs(x - y) for left, right in pairs for x, y in zip(left, right, strict=True))
            same = sum(x == y for x, y in zip(one["picked"], two["picked"], strict=True))
            found.append(Control(a.variant, b.variant, task, len(one["picked"]), same, largest))
    return sorted(found, key=lambda control: (control.a, control.b, control.task))


def _model(row: Row) -> tuple[object, ...]:
    source = next((record.source for record in row.records if record.source), None)
    return source, tuple(name for name, role in zip(row.steps, row.roles, strict=True) if role != "convert")


def _runtime_controls(rows: Sequence[Row]) -> Iterable[Finding]:
    found = controls(rows)
    if not found:
        text = "no model was scored in two runtimes, so an error of one of them would not show"
        yield Finding("note", "Runtime control", f"Not measured: {text}.")
    for a, b in dict.fromkeys((control.a, control.b) for control in found):
        mine = [control for control in found if (control.a, control.b) == (a, b)]
        agree = all(control.same / control.n >= SAME_ANSWERS for control in mine)
        said = "; ".join(f"{c.task}: {c.same} of {c.n} ({share(c.same / c.n)})" for c in mine)
        largest = max(control.largest_difference for control in mine)
        yield Finding(
            "good" if agree else "bad",
            "Runtime control",
            f"{a} and {b} are the same model in two runtimes. They pick the same answer on {said}; the bound is "
            f"{share(SAME_ANSWERS)}. Largest difference of a log-likelihood over all choices: {largest:.3g}."
            + ("" if agree else " One of the runtimes scores wrongly: do not read accuracies across them."),
        )


def _failures(rows: Sequence[Row]) -> Iterable[Finding]:
    for row in rows:
        alike: dict[tuple[str, str], list[Failure]] = {}
        for failure in row.failures:
            alike.setdefault((failure.stage, failure.message), []).append(failure)
        for (stage, message), failures in alike.items():
            which = f"{'Rounds' if len(failures) > 1 else 'Round'} {', '.join(str(f.round) for f in failures)}"
            text = f"{which} failed at {stage}: {message.rstrip('.')}."
            yield Finding("bad", row.variant, text, failures[0].reproduce)


def _requests(records: Sequence[Record]) -> Iterable[Finding]:
    for record in records:
        latency = record.measures.get("latency") or {}
        sent, evaluated = latency.get("prompt_tokens"), latency.get("evaluated_tokens")
        if sent and evaluated and sent != evaluated:
            reused = sum(a != b for a, b in zip(sent, evaluated, strict=False))
            text = f"{reused} of {len(sent)} requests evaluated another number of prompt tokens than was sent"
            yield Finding("bad", record.variant, f"Round {record.round}: {text}; a prompt cache was at work.")


def _one_sweep(selection: Selection) -> Iterable[Finding]:
    if selection.dirty:
        text = "these files differ from the commit, which alone does not bring the numbers back"
        yield Finding("note", "Uncommitted changes", f"Measured at {selection.label}: {text}.")
    kinds = {
        "working trees": {record.data["commit"].get("tree") for record in selection.records},
        "models": {record.source for record in selection.records if record.source},
        "suites": {record.data["config"].get("suite") for record in selection.records},
    }
    for kind, seen in kinds.items():
        if len(seen) > 1:
            text = f"the records of this commit come from {len(seen)} different {kind}"
            yield Finding("bad", "Mixed records", f"In one table, yet {text}; run the sweep again to have one.")


def _guessing(rows: Sequence[Row]) -> Iterable[Finding]:
    for task in tasks_of(rows):
        asked = [(row.variant, row.accuracy[task]) for row in rows if task in row.accuracy]
        for variant, found in asked:
            if found.ties:
                text = f"{task}: all choices scored the same on {plural(found.ties, 'question')}"
                yield Finding("bad", variant, f"{text} of {found.n}; the scorer is broken.")
        guessing = [(variant, found) for variant, found in asked if found.at_chance]
        if guessing:
            said = ", ".join(f"{variant} {percent(found.share)}" for variant, found in guessing)
            one = guessing[0][1]
            yield Finding(
                "note",
                f"No better than guessing on {task}",
                f"{said}. Guessing gives {share(one.chance)}, always the most frequent answer {share(one.majority)}; "
                f"n = {one.n}. Differences between these variants on {task} say nothing about what was lost.",
            )


def _canary(records: Sequence[Record]) -> Iterable[Finding]:
    readings: dict[str, list[tuple[Record, float]]] = {}
    for record in records:
        for when in ("before", "after"):
            for name, value in ((record.data.get("canary") or {}).get(when) or {}).items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    readings.setdefault(name, []).append((record, float(value)))
    for name, found in readings.items():
        middle = statistics.median(value for _, value in found)
        drifts = [
            (value / middle - 1, record) for record, value in found if middle and abs(value / middle - 1) > CANARY_DRIFT
        ]
        if drifts:
            worst, record = max(drifts, key=lambda drift: abs(drift[0]))
            touched = len({(record.variant, record.round) for _, record in drifts})
            yield Finding(
                "note",
                "The machine drifted",
                f"{name} was more than {CANARY_DRIFT:.0%} off its median ({middle:.3g}) beside {touched} of "
                f"{plural(len(records), 'cell')}, at worst {worst:+.0%} beside {record.variant} round {record.round}: "
                "latencies of those cells say as much about the machine as about the variant.",
            )
