"""Reads records back: as they are, as one tidy table, or those of one sweep."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import answers as answered
from bench import stats
from bench.answers import right as right
from bench.divergence import COLUMNS as DIVERGENCES
from bench.divergence import Divergence, divergence
from bench.record import SCHEMA

if TYPE_CHECKING:
    import pandas as pd

REQUIRED: dict[str, type | tuple[type, ...]] = {
    "variant": str,
    "round": int,
    "status": str,
    "started_at": str,
    "commit": dict,
    "machine": dict,
    "config": dict,
    "measures": dict,
    "warnings": list,
    "error": (dict, type(None)),
}
COLUMNS = [
    *("machine", "commit", "dirty", "sweep", "model", "suite", "variant", "round", "runtime", "started_at"),
    *("status", "error", "metric", "task", "value", "unit", "n", "low", "high"),
]
LATENCIES = ("ttft_ms", "tpot_ms", "e2e_ms")


@dataclass(frozen=True)
class Record:
    """One record as it was read: a variant measured once, in one round."""

    path: Path
    data: dict[str, Any]

    @property
    def variant(self) -> str:
        """Return the name of the variant."""
        return str(self.data["variant"])

    @property
    def round(self) -> int:
        """Return the number of the round, from 0."""
        return int(self.data["round"])

    @property
    def failed(self) -> bool:
        """Say whether the cell ended in an error."""
        return bool(self.data["status"] != "ok")

    @property
    def sha(self) -> str:
        """Return the commit in full, `no-commit` where there was no repository."""
        return str(self.data["commit"]["sha"] or "no-commit")

    @property
    def dirty(self) -> bool:
        """Say whether the working tree differed from the commit."""
        return bool(self.data["commit"].get("dirty"))

    @property
    def machine(self) -> str:
        """Return the short name of the machine."""
        return str(self.data["machine"]["id"])

    @property
    def sweep(self) -> str:
        """Return the name of the sweep: suite, model, and a digest of what was overridden."""
        return str(self.data.get("sweep") or "unnamed")

    @property
    def started_at(self) -> str:
        """Return when the cell began, ISO 8601."""
        return str(self.data["started_at"])

    @property
    def runtime(self) -> str:
        """Return the runtime the variant asks for."""
        return str(self.data["config"]["variant"]["runtime"])

    @property
    def steps(self) -> tuple[str, ...]:
        """Return the names of the steps, in order."""
        return tuple(self.data["config"]["variant"]["steps"])

    @property
    def measures(self) -> dict[str, Any]:
        """Return what was measured; a measure that was not is absent."""
        measures: dict[str, Any] = self.data["measures"]
        return measures

    @property
    def source(self) -> str | None:
        """Return the fingerprint of the model the variant starts from, None where nothing was built."""
        lineage = self.data.get("lineage") or [{}]
        fingerprint: str | None = lineage[0].get("fingerprint")
        return fingerprint


def _parse(path: Path) -> Record:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or "schema" not in data:
        raise ValueError("no record: it has no `schema`")
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']!r} is unknown, this version reads {SCHEMA}")
    for key, kind in REQUIRED.items():
        if key not in data or not isinstance(data[key], kind):
            raise ValueError(f"`{key}` is missing or of the wrong type")
    record = Record(path, data)
    try:
        _ = record.sha, record.machine, record.runtime, record.steps
        _check_columns(record.measures)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"incomplete: {error!r}") from error
    return record


def _check_columns(measures: dict[str, Any]) -> None:
    tables: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
        (f"accuracy {task}", answers, answered.columns_of(answers))
        for task, answers in measures.get("accuracy", {}).items()
    ]
    if "latency" in measures:
        tables.append(("latency", measures["latency"], LATENCIES))
    if measures.get("divergence"):
        tables.append(("divergence", measures["divergence"], DIVERGENCES))
    for name, table, wanted in tables:
        lengths = {len(table[column]) for column in wanted}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"{name}: columns of lengths {sorted(lengths)}, they must be alike and not empty")


def read(path: Path | str = "results") -> tuple[list[Record], list[str]]:
    """Read every record under a folder, and say in one line each which files were left out and why."""
    records, left_out = [], []
    for file in sorted(Path(path).glob("*/*/*.r*.json")):
        try:
            records.append(_parse(file))
        except (OSError, ValueError) as error:
            left_out.append(f"{file}: {' '.join(str(error).split())}")
    return records, left_out


def _measured(record: Record) -> Iterator[dict[str, Any]]:
    measures = record.measures
    for name, unit in (("build", "s"), ("measure", "s")):
        if (value := (record.data.get("seconds") or {}).get(name)) is not None:
            yield {"metric": f"{name}_seconds", "value": value, "unit": unit}
    size = measures.get("size", {})
    for name, unit in (("size_bytes", "byte"), ("n_parameters", "1"), ("bits_per_weight", "bit")):
        if size.get(name) is not None:
            yield {"metric": name, "value": size[name], "unit": unit}
    for name, value in measures.get("memory", {}).items():
        if value is not None:
            yield {"metric": name, "value": value, "unit": "byte"}
    for name in LATENCIES:
        values = measures.get("latency", {}).get(name) or []
        for point in (0.5, 0.9, 0.99) if values else ():
            found = stats.percentile_estimate(values, point)
            yield {"metric": f"{name.removesuffix('_ms')}_p{point * 100:.0f}_ms", "unit": "ms", **vars(found)}
    for task, answers in measures.get("accuracy", {}).items():
        yield from ({"task": task, **row} for row in _answered(answers))
    if measures.get("divergence"):
        yield from _diverged(divergence(measures["divergence"]))


def _answered(answers: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not answered.marked(answers):
        found = answered.score(answers)
        unit = "bit" if answers["metric"] == "bits_per_byte" else "1"
        yield {"metric": answers["metric"], "unit": unit, **(vars(found) if found else {"n": len(answers["value"])})}
        return
    counts = list(answered.subjects_of(answers).values())
    hits, n = (sum(column) for column in zip(*counts, strict=True))
    yield {"metric": "accuracy", "unit": "share", **vars(stats.wilson(hits, n))}
    if len(counts) > 1:
        yield {"metric": "accuracy_macro", "unit": "share", **vars(stats.macro_average(counts))}


def _diverged(found: Divergence) -> Iterator[dict[str, Any]]:
    yield {"metric": "kl_mean", "unit": "nat", **vars(found.kl_mean)}
    yield {"metric": "kl_p99", "unit": "nat", "value": found.kl_p99, "n": found.tokens}
    yield {"metric": "same_top_share", "unit": "share", **vars(found.same_top)}
    yield {"metric": "perplexity", "unit": "1", **vars(found.perplexity)}


def load(path: Path | str = "results") -> pd.DataFrame:
    """Return all records under a folder as one tidy table, one row per cell and metric.

    `value` is in `unit`; `low` and `high` are the ends of a 95 % interval over the `n` samples of this one
    cell, missing where n is too small or the value is not a sample's. Latencies are service times of a
    closed loop. `accuracy_macro` is the mean over subjects. Divergences are from the base of the same runtime;
    their `n` counts windows of text, the clusters of the interval (tokens for `kl_p99`). A failed cell has a row
    without a metric that carries its `error`. Files that cannot be read are named in a warning and left out.
    """
    import pandas as pd

    records, left_out = read(path)
    for line in left_out:
        warnings.warn(f"left out: {line}", stacklevel=2)
    rows = []
    for record in records:
        config = record.data["config"]
        identity = {
            "machine": record.machine,
            "commit": record.sha,
            "dirty": record.dirty,
            "sweep": record.sweep,
            "model": (config.get("model") or {}).get("name"),
            "suite": config.get("suite"),
            "variant": record.variant,
            "round": record.round,
            "runtime": record.runtime,
            "started_at": record.started_at,
            "status": record.data["status"],
            "error": (record.data["error"] or {}).get("message"),
        }
        found = list(_measured(record))
        rows += [{**identity, **row} for row in ([*found, {}] if record.failed or not found else found)]
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True)
class Selection:
    """The records of one sweep: one commit in one state, on one machine, and why it is this one."""

    records: tuple[Record, ...]
    sha: str
    dirty: bool
    machine: str
    sweep: str
    why: str

    @property
    def label(self) -> str:
        """Return the commit as the folder of its records is called."""
        return f"{self.sha[:12]}{'-dirty' if self.dirty else ''}"


def select(
    records: Sequence[Record], commit: str | None = None, machine: str | None = None, sweep: str | None = None
) -> Selection | None:
    """Pick the records of one sweep; None where nothing matches.

    `commit` is the start of a sha, with `-dirty` for the state beside it; without one it is the newest commit
    of this checkout that has records: HEAD, else the nearest in `git log`, else the newest in time.
    Where that leaves several machines, sweeps or states of the working tree, the one measured last is taken.
    """
    fitting = [r for r in records if machine in (None, r.machine) and sweep in (None, r.sweep)]
    if commit is not None:
        sha, dirty = commit.removesuffix("-dirty"), commit.endswith("-dirty")
        fitting = [record for record in fitting if record.sha.startswith(sha) and record.dirty >= dirty]
    if not fitting:
        return None
    if commit is None:
        sha, why = _newest_commit(fitting)
        fitting = [record for record in fitting if record.sha == sha]
    else:
        why = "asked for"
    newest = max(fitting, key=lambda record: record.started_at)
    state = (newest.sha, newest.dirty, newest.machine, newest.sweep)
    chosen = [r for r in fitting if (r.sha, r.dirty, r.machine, r.sweep) == state]
    chosen.sort(key=lambda record: (record.round, record.variant))
    return Selection(tuple(chosen), *state, why)


def _newest_commit(records: Sequence[Record]) -> tuple[str, str]:
    measured = {record.sha for record in records}
    for age, sha in enumerate(_history(records[0].path.parent)):
        if sha in measured:
            return sha, "HEAD of this checkout" if age == 0 else f"the nearest commit with records, {age} before HEAD"
    newest = max(records, key=lambda record: record.started_at)
    return newest.sha, "the newest records; their commit is not in the history of this checkout"


def _history(folder: Path) -> list[str]:
    command = ["git", "-C", str(folder), "log", "--format=%H", "--max-count=10000"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return []
