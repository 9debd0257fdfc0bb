"""Reads records back: as they are, as one tidy table, or those of one sweep."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import answers as answered
from bench import stats
from bench.checkout import history
from bench.divergence import Divergence, divergence
from bench.record import state_label
from bench.schema import LATENCIES, parse

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("machine", "commit", "dirty", "tree", "sweep", "model", "suite", "variant", "round", "runtime", "started_at"),
    *("status", "error", "metric", "task", "value", "unit", "n", "low", "high"),
]


@dataclass(frozen=True)
class LeftOut:
    """A file that is no sound record, and why."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


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
    def label(self) -> str:
        """Return the commit and its state as the folder of the record is called."""
        return state_label(self.data["commit"])

    @property
    def fingerprint(self) -> str | None:
        """Return the identity of the artifact that was measured, None where there was none."""
        return (self.data["artifact"] or {}).get("fingerprint")

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


def read(path: Path | str = "results", label: str = "*") -> tuple[list[Record], list[LeftOut]]:
    """Read the records under a folder, and say of each file that was left out why.

    `label` is a pattern of the folders of commits, such as `0123456789ab*`: only those are opened.
    """
    records, left_out = [], []
    for file in sorted(Path(path).glob(f"*/{label}/*.r*.json")):
        try:
            records.append(Record(file, parse(file)))
        except (OSError, ValueError) as error:
            left_out.append(LeftOut(file, " ".join(str(error).split())))
    mixed = _mixed(records)
    return [record for record in records if record.path not in mixed], left_out + list(mixed.values())


def _mixed(records: Sequence[Record]) -> dict[Path, LeftOut]:
    """Name the rounds of a variant that measured different artifacts: which of them is meant cannot be told."""
    rounds: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        if not record.failed:
            rounds[record.machine, record.label, record.sweep, record.variant].append(record)
    found = {}
    for same in rounds.values():
        prints = {str(record.fingerprint)[:12] for record in same}
        for record in same if len(prints) > 1 else ():
            why = f"artifact: the rounds of this variant measured different ones: {' / '.join(sorted(prints))}"
            found[record.path] = LeftOut(record.path, why)
    return found


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
    if diverged := divergence(measures.get("divergence", {})):
        yield from _diverged(diverged)


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
            "tree": record.data["commit"].get("tree"),
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
    label: str
    machine: str
    sweep: str
    why: str

    @property
    def dirty(self) -> bool:
        """Say whether the working tree differed from the commit."""
        return self.records[0].dirty


def select(
    records: Sequence[Record], commit: str | None = None, machine: str | None = None, sweep: str | None = None
) -> Selection | None:
    """Pick the records of one sweep; None where nothing matches.

    `commit` is the start of a sha, with `-dirty` for the states beside it, or `-dirty-<tree>` for one of them;
    without one it is the newest commit of this checkout that has records: HEAD, else the nearest in `git log`,
    else the newest in time. Where that leaves several machines, sweeps or states of the working tree, the one
    measured last is taken.
    """
    fitting = [r for r in records if machine in (None, r.machine) and sweep in (None, r.sweep)]
    if commit is not None:
        sha, dirty, tree = commit.partition("-dirty")
        wanted = tree.removeprefix("-")
        fitting = [r for r in fitting if r.sha.startswith(sha) and (r.dirty or not dirty)]
        fitting = [r for r in fitting if str(r.data["commit"].get("tree")).startswith(wanted)]
    if not fitting:
        return None
    if commit is None:
        sha, why = _newest_commit(fitting)
        fitting = [record for record in fitting if record.sha == sha]
    else:
        why = "asked for"
    newest = max(fitting, key=lambda record: record.started_at)
    state = (newest.sha, newest.label, newest.machine, newest.sweep)
    chosen = [r for r in fitting if (r.sha, r.label, r.machine, r.sweep) == state]
    chosen.sort(key=lambda record: (record.round, record.variant))
    return Selection(tuple(chosen), *state, why)


def _newest_commit(records: Sequence[Record]) -> tuple[str, str]:
    measured = {record.sha for record in records}
    for age, sha in enumerate(history(records[0].path.parent)):
        if sha in measured:
            return sha, "HEAD of this checkout" if age == 0 else f"the nearest commit with records, {age} before HEAD"
    newest = max(records, key=lambda record: record.started_at)
    return newest.sha, "the newest records; their commit is not in the history of this checkout"
