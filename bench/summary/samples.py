"""The raw values behind the tidy table: one row per request and per question."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.metrics.answers import marked, right
from bench.records.schema import LATENCIES, Answers
from bench.records.store import Record, read

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = ("machine", "commit", "dirty", "tree", "sweep", "variant", "round")
ANSWERS = ("subject", "gold", "picked", "right", "value", "weight", "answer")
COLUMNS = (*IDENTITY, "kind", "task", "sample", *LATENCIES, "prompt_tokens", *ANSWERS)


def samples(path: Path | str = "results", commit: str = "*") -> pd.DataFrame:
    """Return the raw values of the records under a folder as one table, one row per sample.

    `kind` is `request` (latencies in ms, `sample` its place in the round from 0) or `question` (`task`, `sample` the
    question's id, `gold` and `picked` the numbers of the choices from 0; of other tasks the `value` of the metric, its
    `weight` in a perplexity, and the generated `answer`). `commit` is the start of a sha: a store of many commits
    is large. Files that cannot be read are named in a warning and left out.
    """
    import pandas as pd

    records, left_out = read(path, commit if commit == "*" else f"{commit[:12]}*")
    for line in left_out:
        warnings.warn(f"left out: {line}", stacklevel=2)
    frames = [pd.DataFrame({**columns, **_identity(record)}) for record in records for columns in _columns(record)]
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS) if frames else pd.DataFrame(columns=COLUMNS)


def _identity(record: Record) -> dict[str, Any]:
    told = record.machine, record.sha, record.dirty, record.data["commit"].get("tree"), record.sweep
    return dict(zip(IDENTITY, (*told, record.variant, record.round), strict=True))


def _columns(record: Record) -> Iterator[dict[str, Any]]:
    """Yield the columns of a record's requests, then of each of its tasks."""
    latency = record.measures.get("latency")
    if latency:
        n = len(latency[LATENCIES[0]])
        columns = {name: latency[name] for name in (*LATENCIES, "prompt_tokens") if len(latency.get(name) or ()) == n}
        yield {"kind": "request", "sample": list(range(n)), **columns}
    for task, answers in record.measures.get("accuracy", {}).items():
        yield {"kind": "question", "task": task, "sample": answers["question"], **_answers(answers)}


def _answers(answers: Answers) -> dict[str, Any]:
    columns = {name: answers[name] for name in ("subject", "gold", "picked", "answer") if answers.get(name) is not None}
    if marked(answers):
        columns["right"] = right(answers)
    if "value" in answers:
        pairs = [value if isinstance(value, list) else [value, None] for value in answers["value"]]
        columns["value"], columns["weight"] = ([pair[place] for pair in pairs] for place in (0, 1))
    return columns
