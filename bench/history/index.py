"""The index of `bench history`: what the records of each commit come to, so that they are read once and not each time.

One JSON file in the cache; the charts lie beside it. The records of a commit are summed up again where the names,
sizes or times of its files have changed; an index that is gone, broken or of another version is built anew. Nothing
is lost with it. Uncommitted states are no part of a history, and are not read.
"""

from __future__ import annotations

import gc
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bench.files import write_at_once
from bench.metrics import answers as answered
from bench.metrics import metric as metric_nouns
from bench.metrics.metric import PERCENTILES, Value
from bench.records import file as record_file
from bench.records import schema, store
from bench.records.store import Record
from bench.stats import estimates, proportions

FEW_COMMITS = 40
"""Below this many a second process costs more than it saves."""


@dataclass(frozen=True)
class Summary:
    """What the records of one variant of one sweep at one commit come to; `failures` counts its failed rounds."""

    machine: str
    sha: str
    sweep: str
    variant: str
    artifact: str | None
    failures: int
    copy_gb_s: float | None
    values: Mapping[str, Value]


@dataclass(frozen=True)
class _Commit:
    """The records of one commit; `listing` is what their files looked like when they were read."""

    listing: str
    summaries: tuple[Summary, ...]
    left_out: tuple[str, ...]


def summaries(results: Path, kept: Path) -> tuple[list[Summary], list[str]]:
    """Return the summaries of all committed states under a folder of records, and which files were left out and why.

    `kept` is the folder of the index, for the next time.
    """
    path = kept / "index.json"
    known = _load(path)
    listings = _listings(results)
    todo = [label for label, listing in listings.items() if label not in known or known[label].listing != listing]
    if todo or known.keys() != listings.keys():
        fresh = dict(zip(todo, _sum_up(results, {label: listings[label] for label in todo}), strict=True))
        known = {label: fresh[label] if label in fresh else known[label] for label in listings}
        _save(path, known)
    found = [summary for commit in known.values() for summary in commit.summaries]
    return found, [line for commit in known.values() for line in commit.left_out]


def _listings(results: Path) -> dict[str, str]:
    """Return for each committed state a digest of the names, sizes and times of its files, on all machines."""
    files: dict[str, list[tuple[str, str, int, int]]] = defaultdict(list)
    for folder in sorted(results.glob("*/*/")):
        if "-dirty" not in folder.name:
            with os.scandir(folder) as entries:
                found = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".json")]
            files[folder.name] += [(str(folder.parent), name, s.st_size, s.st_mtime_ns) for name, s in found]
    return {label: _digest(repr(sorted(listed))) for label, listed in files.items() if listed}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _version() -> str:
    """Return a digest of the code that sums up: another code, another index."""
    parts = [
        Path(str(module.__file__)).read_bytes()
        for module in (record_file, schema, estimates, proportions, store, answered, metric_nouns)
    ]
    return hashlib.sha256(b"".join([*parts, Path(__file__).read_bytes()])).hexdigest()[:16]


def _load(path: Path) -> dict[str, _Commit]:
    try:
        index = orjson.loads(path.read_bytes())
        if index["version"] != _version():
            return {}
        shared = index["shared"]
        return {
            label: _Commit(
                commit["listing"], tuple(_unpacked(s, shared) for s in commit["summaries"]), tuple(commit["left_out"])
            )
            for label, commit in index["commits"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return {}


def _unpacked(summary: dict[str, Any], shared: Sequence[Any]) -> Summary:
    values = {
        metric: Value._make([*numbers, shared[identity], shared[answers]])
        for metric, (*numbers, identity, answers) in summary.pop("values").items()
    }
    return Summary(**summary, values=values)


def _save(path: Path, commits: Mapping[str, _Commit]) -> None:
    """Write the index under a temporary name and rename it; what many values share is written once."""
    places: dict[bytes, int] = {}

    def place(content: Any) -> int:
        return places.setdefault(orjson.dumps(content), len(places))

    def packed(summary: Summary) -> dict[str, Any]:
        values = {
            metric: [*value[:4], place(value.identity), place(value.answers)]
            for metric, value in summary.values.items()
        }
        return {**vars(summary), "values": values}

    told = {
        label: {**vars(commit), "summaries": [packed(s) for s in commit.summaries]} for label, commit in commits.items()
    }
    index = {"version": _version(), "shared": [orjson.loads(text) for text in places], "commits": told}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_at_once(path, orjson.dumps(index).decode())


def _sum_up(results: Path, listings: Mapping[str, str]) -> Iterator[_Commit]:
    one = partial(_commit, results)
    if len(listings) < FEW_COMMITS:
        yield from map(one, listings.items())
        return
    with ProcessPoolExecutor(initializer=gc.disable) as pool:  # records hold no cycles, and thousands of lists
        yield from pool.map(one, listings.items(), chunksize=16)


def _commit(results: Path, listed: tuple[str, str]) -> _Commit:
    """Sum up the records of one commit: its variants, and a line for each file that is no sound record."""
    label, listing = listed
    records, left_out = store.read(results, label)
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.machine, record.sweep, record.variant].append(record)
    return _Commit(listing, tuple(_sum(same) for same in groups.values()), tuple(map(str, left_out)))


def _sum(records: Sequence[Record]) -> Summary:
    first = records[0]
    sound = [record for record in records if not record.failed]
    readings = [
        reading["copy_gb_s"]
        for record in sound
        for reading in (record.data.get("canary") or {}).values()
        if "copy_gb_s" in reading
    ]
    return Summary(
        machine=first.machine,
        sha=first.sha,
        sweep=first.sweep,
        variant=first.variant,
        artifact=next((record.fingerprint for record in sound), None),
        failures=len(records) - len(sound),
        copy_gb_s=sum(readings) / len(readings) if readings else None,
        values={**_size(sound), **_memory(sound), **_latency(sound), **_accuracy(sound)},
    )


def _size(records: Sequence[Record]) -> dict[str, Value]:
    found = [record for record in records if (record.measures.get("size") or {}).get("size_bytes") is not None]
    if not found:
        return {}
    return {"size_bytes": Value(found[0].measures["size"]["size_bytes"], None, None, None, _model(found[0]))}


def _memory(records: Sequence[Record]) -> dict[str, Value]:
    name = "peak_resident_bytes"
    found = [record for record in records if (record.measures.get("memory") or {}).get(name) is not None]
    if not found:
        return {}
    largest = max(record.measures["memory"][name] for record in found)
    return {name: Value(largest, None, None, len(found), _workload(found))}


def _latency(records: Sequence[Record]) -> dict[str, Value]:
    timed = [record for record in records if "latency" in record.measures]
    if not timed:
        return {}
    identity = _workload(timed)
    found = {}
    for metric, (name, share) in PERCENTILES.items():
        values = [value for record in timed for value in record.measures["latency"][name]]
        estimate = estimates.percentile_estimate(values, share)
        found[metric] = Value(estimate.value, estimate.low, estimate.high, estimate.n, identity)
    return found


def _accuracy(records: Sequence[Record]) -> dict[str, Value]:
    found = {}
    for record in records:
        for task, answers in (record.measures.get("accuracy") or {}).items():
            if not answered.marked(answers):
                continue
            marks = answered.right(answers)
            share = proportions.wilson(sum(marks), len(marks))
            asked = _content(tuple(answers["question"]), tuple(answers.get("gold") or ()))
            identity = {
                **_model(record),
                "task version": str(answers.get("version")),
                **{name: str(answers.get(name)) for name in ("scorer", "metric", "num_fewshot", "chat_template")},
                "cut prompts": str(answers.get("truncated")),
                "prompts": str(answers.get("prompt_sha256"))[:12],
                "questions": f"{len(marks)} ({asked})",
            }
            bits = np.packbits(marks).tobytes().hex()
            found[f"accuracy {task}"] = Value(share.value, share.low, share.high, len(marks), identity, bits)
    return found


@lru_cache(maxsize=64)
def _content(*columns: tuple[Any, ...]) -> str:
    """Return a digest of what most records have alike, which is why it is remembered."""
    return _digest(repr(columns))[:8]


def _model(record: Record) -> dict[str, str]:
    """Name the model that the variant starts from: another one, or another revision of it, is another series."""
    model = record.data["config"].get("model") or {}
    return {"model": f"{model.get('name')} {(record.source or '')[:12]}"}


def _workload(records: Sequence[Record]) -> dict[str, str]:
    """Name the requests that were timed, and in what; rounds that differ are told with all their values."""
    told: dict[str, list[str]] = defaultdict(list)
    for record in records:
        latency = record.measures.get("latency") or {}
        asked = (record.data["config"].get("measures") or {}).get("latency") or {}
        session = record.data.get("session") or {}
        for name, value in (
            *_model(record).items(),
            ("runtime", record.runtime),
            ("device", session.get("device")),
            ("loop", latency.get("loop")),
            ("output_tokens", latency.get("output_tokens")),
            ("prompt tokens", _content(tuple(latency.get("prompt_tokens") or ()))),
            *((f"latency.{key}", asked.get(key)) for key in ("prompts", "prompt", "seed")),
        ):
            told[name].append(str(value))
    return {name: " | ".join(dict.fromkeys(values)) for name, values in told.items()}
