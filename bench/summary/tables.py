"""The tidy tables of a folder of records: one row per cell and metric, and one row per sample."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.metrics.answers import is_right_or_wrong, right, values_of
from bench.metrics.catalogue import metrics_of
from bench.records.store import read
from bench.records.types import Record
from bench.records.values import LATENCIES, Answers

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("machine", "commit", "dirty", "tree", "sweep", "model", "suite", "variant", "round", "runtime", "started_at"),
    *("status", "error", "metric", "task", "value", "unit", "n", "low", "high"),
]
SAMPLE_IDENTITY = ("machine", "commit", "dirty", "tree", "sweep", "variant", "round")
SAMPLE_COLUMNS = (
    *SAMPLE_IDENTITY,
    *("kind", "task", "sample", *LATENCIES, "prompt_tokens"),
    *("subject", "gold", "picked", "right", "value", "weight", "answer"),
)
Columns = dict[str, object]


def load(path: Path | str = "results") -> pd.DataFrame:
    """Return all records under a folder as one tidy table, one row per cell and metric.

    `value` is in `unit`; `low` and `high` are the ends of a 95 % interval over the `n` samples of this one
    cell, missing where n is too small or the value is not a sample's. Latencies are service times of a
    closed loop. `accuracy_macro` is the mean over subjects. Divergences are from the base of the same runtime;
    their `n` counts windows of text, the clusters of the interval (tokens for `kl_p99`). A failed cell has a row
    without a metric that carries its `error`, beside what was measured before it failed; a score that is not finite
    has a row without a value. Files that cannot be read are named in a warning and left out.
    """
    import pandas as pd

    rows: list[Columns] = []
    for record in _read(path):
        values = list(_values(record))
        rows += [{**_cell(record), **row} for row in ([*values, {}] if record.failed or not values else values)]
    return pd.DataFrame(rows, columns=COLUMNS)


def samples(path: Path | str = "results", commit: str = "*") -> pd.DataFrame:
    """Return the raw values of the records under a folder as one table, one row per sample.

    `kind` is `request` (latencies in ms, `sample` its place in the round from 0) or `question` (`task`, `sample` the
    question's id, `gold` and `picked` the numbers of the choices from 0; of other tasks the `value` of the metric, its
    `weight` in a perplexity, and the generated `answer`). `commit` is the start of a sha: a store of many commits
    is large. Files that cannot be read are named in a warning and left out.
    """
    import pandas as pd

    frames = [
        pd.DataFrame({**columns, **{name: _cell(record)[name] for name in SAMPLE_IDENTITY}})
        for record in _read(path, commit if commit == "*" else f"{commit[:12]}*")
        for columns in _samples(record)
    ]
    if not frames:
        return pd.DataFrame(columns=SAMPLE_COLUMNS)
    return pd.concat(frames, ignore_index=True).reindex(columns=SAMPLE_COLUMNS)


def _read(path: Path | str, label: str = "*") -> list[Record]:
    records, left_out = read(path, label)
    for line in left_out:
        warnings.warn(f"left out: {line}", stacklevel=3)
    return records


def _cell(record: Record) -> Columns:
    return {
        "machine": record.machine.id,
        "commit": record.sha,
        "dirty": record.commit.dirty,
        "tree": record.commit.tree,
        "sweep": record.sweep,
        "model": record.config.model.name,
        "suite": record.config.suite,
        "variant": record.variant,
        "round": record.round,
        "runtime": record.runtime,
        "started_at": record.started_at,
        "status": record.status,
        "error": record.error and record.error.message,
    }


def _values(record: Record) -> Iterator[Columns]:
    """Yield the value of each metric; a task whose score is not finite keeps its row, without a value."""
    rounds = [record]
    for metric in metrics_of(rounds):
        row: Columns = {"metric": metric.called(rounds), "task": metric.task or None, "unit": metric.unit}
        estimate = metric.value(rounds)
        if estimate is not None:
            yield {**row, **vars(estimate), "n": estimate.n or None}
        elif metric.test == "documents":
            yield {**row, "n": len(record.answers[metric.task].question)}


def _samples(record: Record) -> Iterator[Columns]:
    """Yield the columns of a record's requests, then of each of its tasks."""
    latency = record.latency
    if latency:
        n = len(latency.ttft_ms)
        columns = {name: getattr(latency, name) for name in (*LATENCIES, "prompt_tokens")}
        known = {name: values for name, values in columns.items() if len(values) == n}
        yield {"kind": "request", "sample": list(range(n)), **known}
    for task, answers in record.answers.items():
        yield {"kind": "question", "task": task, "sample": answers.question, **_answers(answers)}


def _answers(answers: Answers) -> Columns:
    stated = {name: getattr(answers, name) for name in ("subject", "gold", "picked", "answer")}
    columns: Columns = {name: column for name, column in stated.items() if column is not None}
    if is_right_or_wrong(answers):
        columns["right"] = right(answers)
    if answers.value is not None:
        pairs = [value if isinstance(value, tuple) else (value, None) for value in values_of(answers)]
        columns["value"], columns["weight"] = ([pair[place] for pair in pairs] for place in (0, 1))
    return columns
