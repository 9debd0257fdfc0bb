"""The tidy tables of a folder of records: one row per cell and metric, and one row per sample."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.metrics.answers import is_right_or_wrong, right, values_of
from bench.metrics.catalogue import metrics_of
from bench.records.listing import choices
from bench.records.selection import Wanted, select
from bench.records.store import read
from bench.records.types import Record
from bench.records.values import LATENCIES, Answers

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("machine", "commit", "dirty", "tree", "sweep", "model", "suite", "variant", "round", "runtime", "started_at"),
    *("status", "error", "metric", "task", "value", "unit", "n", "low", "high", "newest"),
]
SAMPLE_IDENTITY = ("machine", "commit", "dirty", "tree", "sweep", "variant", "round")
SAMPLE_COLUMNS = (
    *SAMPLE_IDENTITY,
    *("kind", "task", "sample", *LATENCIES, "prompt_tokens"),
    *("subject", "gold", "picked", "right", "value", "weight", "answer"),
)
Columns = dict[str, object]


def load(path: Path | str = "results", commit: str | None = None) -> pd.DataFrame:
    """Return the records under a folder as one tidy table, one row per cell and metric, in the order of time.

    `newest` is True in the rows of the newest sweep, which is the one that `bench report` shows: of one commit in one
    state, on one machine. `commit` is a git revision, such as `HEAD`: only its records are read, in all its states, and
    `newest` is of these. Raises UserError for an unknown one; warns where there are no records.

    `value` is in `unit`; `low` and `high` are the ends of a 95 % interval over the `n` samples of this one
    cell, missing where n is too small or the value is not a sample's. Latencies are service times of a
    closed loop. `accuracy_macro` is the mean over subjects. Divergences are from the base of the same runtime, those
    called `parent_…` from the variant's own model before it was quantized; their `n` counts windows of text, the
    clusters of the interval (tokens for `kl_p99`). A failed cell has a row without a metric that carries its `error`,
    beside what was measured before it failed; a score that is not finite
    has a row without a value. Files that cannot be read are named in a warning and left out.
    """
    import pandas as pd

    rows: list[Columns] = []
    records = _read(path, commit)
    selection = select(records, Wanted(), Path(path))
    newest = {id(record) for record in selection.records} if selection else set()
    for record in records:
        values, cell = list(_values(record)), {**_cell(record), "newest": id(record) in newest}
        rows += [{**cell, **row} for row in ([*values, {}] if record.failed or not values else values)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"newest": bool})


def samples(path: Path | str = "results", commit: str | None = None) -> pd.DataFrame:
    """Return the raw values of the records under a folder as one table, one row per sample, in the order of time.

    `kind` is `request` (latencies in ms, `sample` its place in the round from 0) or `question` (`task`, `sample` the
    question's id, `gold` and `picked` the numbers of the choices from 0; of other tasks the `value` of the metric, its
    `weight` in a perplexity, and the generated `answer`). `commit` is a git revision, as of `load`: a store of
    many commits is large. Files that cannot be read are named in a warning and left out.
    """
    import pandas as pd

    frames = [
        pd.DataFrame({**columns, **{name: _cell(record)[name] for name in SAMPLE_IDENTITY}})
        for record in _read(path, commit)
        for columns in _samples(record)
    ]
    if not frames:
        return pd.DataFrame(columns=SAMPLE_COLUMNS)
    return pd.concat(frames, ignore_index=True).reindex(columns=SAMPLE_COLUMNS)


def _read(path: Path | str, commit: str | None) -> list[Record]:
    """Read the records of a revision, of all commits where it is None, in the order of time."""
    results, wanted = Path(path), Wanted()
    if commit is not None:
        from bench.records.revision import wanted_commit

        wanted = Wanted(wanted_commit(commit, results))
    records, left_out = read(results, wanted.label)
    for line in left_out:
        warnings.warn(f"left out: {line}", stacklevel=4)
    records = sorted((record for record in records if wanted.fits(record)), key=lambda record: record.started_at)
    if not records:
        cure = "run `make bench`" if commit is None else f"choose one of: {choices(results)}"
        warnings.warn(f"no records{'' if commit is None else f' of {commit}'} under {path}: {cure}", stacklevel=4)
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
