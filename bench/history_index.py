"""The index of `bench history`: what the records of each commit come to, so that they are read once and not each time.

One JSON file in the cache. A folder of records (one commit on one machine) is summed up again where the names, sizes or
times of its files have changed; an index that is gone, broken or of another version is built anew. Nothing is lost
with it. Uncommitted states are no part of a history, and are not read.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from bench import read, schema, stats
from bench import record as record_file
from bench.read import Record, right

PERCENTILES = {
    "ttft_p50_ms": ("ttft_ms", 0.5),
    "tpot_p50_ms": ("tpot_ms", 0.5),
    "e2e_p50_ms": ("e2e_ms", 0.5),
    "e2e_p99_ms": ("e2e_ms", 0.99),
}
FEW_FOLDERS = 40
"""Below this many a second process costs more than it saves."""


class Value(NamedTuple):
    """One metric of one variant at one commit, over all rounds, with the 95 % interval of its n samples.

    `identity` names what was measured, in words: values of different identities are no series. `answers` are a task's
    marks, one bit a question, as hexadecimal digits.
    """

    value: float
    low: float | None
    high: float | None
    n: int | None
    identity: Mapping[str, str]
    answers: str | None = None


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
class _Folder:
    """The records of one commit on one machine; `listing` is what its files looked like when they were read."""

    listing: str
    summaries: tuple[Summary, ...]
    left_out: tuple[str, ...]


def summaries(results: Path, cache_dir: Path) -> tuple[list[Summary], list[str]]:
    """Return the summaries of all committed states under a folder of records, and which files were left out and why."""
    path = cache_dir / "history" / f"{_digest(str(results.resolve()))}.json"
    known = _load(path)
    folders = {
        f"{folder.parent.name}/{folder.name}": folder for folder in sorted(results.glob("*/*")) if _clean(folder)
    }
    listings = {name: _listing(folder) for name, folder in folders.items()}
    todo = [name for name, listing in listings.items() if name not in known or known[name].listing != listing]
    if todo or known.keys() != folders.keys():
        fresh = dict(zip(todo, _sum_up([(folders[name], listings[name]) for name in todo]), strict=True))
        known = {name: fresh[name] if name in fresh else known[name] for name in folders}
        _save(path, known)
    found = [summary for folder in known.values() for summary in folder.summaries]
    return found, [line for folder in known.values() for line in folder.left_out]


def _clean(folder: Path) -> bool:
    return "-dirty" not in folder.name and folder.is_dir()


def _listing(folder: Path) -> str:
    """Return a digest of the names, sizes and times of a folder's files."""
    with os.scandir(folder) as entries:
        stats_ = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".json")]
    return _digest(repr(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats_)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _version() -> str:
    """Return a digest of the code that sums up: another code, another index."""
    parts = [Path(str(module.__file__)).read_bytes() for module in (record_file, schema, stats, read)]
    return hashlib.sha256(b"".join([*parts, Path(__file__).read_bytes()])).hexdigest()[:16]


def _load(path: Path) -> dict[str, _Folder]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if index["version"] != _version():
            return {}
        shared = index["shared"]
        return {
            name: _Folder(
                folder["listing"], tuple(_unpacked(s, shared) for s in folder["summaries"]), tuple(folder["left_out"])
            )
            for name, folder in index["folders"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return {}


def _unpacked(summary: dict[str, Any], shared: Sequence[Any]) -> Summary:
    values = {
        metric: Value._make([*numbers, shared[identity], shared[answers]])
        for metric, (*numbers, identity, answers) in summary.pop("values").items()
    }
    return Summary(**summary, values=values)


def _save(path: Path, folders: Mapping[str, _Folder]) -> None:
    """Write the index under a temporary name and rename it; what many values share is written once."""
    places: dict[str, int] = {}

    def place(content: Any) -> int:
        return places.setdefault(json.dumps(content), len(places))

    def packed(summary: Summary) -> dict[str, Any]:
        values = {
            metric: [*value[:4], place(value.identity), place(value.answers)]
            for metric, value in summary.values.items()
        }
        return {**vars(summary), "values": values}

    told = {
        name: {**vars(folder), "summaries": [packed(s) for s in folder.summaries]} for name, folder in folders.items()
    }
    index = {"version": _version(), "shared": [json.loads(text) for text in places], "folders": told}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as stream:
        json.dump(index, stream, separators=(",", ":"))
    Path(stream.name).replace(path)


def _sum_up(folders: Sequence[tuple[Path, str]]) -> Iterator[_Folder]:
    if len(folders) < FEW_FOLDERS:
        yield from map(_folder, folders)
        return
    with ProcessPoolExecutor() as pool:
        yield from pool.map(_folder, folders, chunksize=16)


def _folder(listed: tuple[Path, str]) -> _Folder:
    """Sum up the records of one folder: its variants, and a line for each file that is no sound record."""
    folder, listing = listed
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    left_out = []
    for path in sorted(folder.glob("*.r*.json")):
        try:
            record = Record(path, schema.parse(path))
        except (OSError, ValueError) as error:
            left_out.append(f"{path}: {' '.join(str(error).split())}")
        else:
            groups[record.sweep, record.variant].append(record)
    return _Folder(listing, tuple(_sum(records) for records in groups.values()), tuple(left_out))


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
        artifact=next((record.data["artifact"]["fingerprint"] for record in sound), None),
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
        estimate = stats.percentile_estimate(values, share)
        found[metric] = Value(estimate.value, estimate.low, estimate.high, estimate.n, identity)
    return found


def _accuracy(records: Sequence[Record]) -> dict[str, Value]:
    found = {}
    for record in records:
        for task, answers in (record.measures.get("accuracy") or {}).items():
            marks = right(answers)
            share = stats.wilson(sum(marks), len(marks))
            asked = json.dumps([answers["question"], answers["gold"]])
            identity = {
                **_model(record),
                "task version": str(answers.get("version")),
                "prompts": str(answers.get("prompt_sha256"))[:12],
                "questions": f"{len(marks)} ({_questions(asked)})",
            }
            bits = f"{int(''.join('01'[mark] for mark in marks), 2):x}"
            found[f"accuracy {task}"] = Value(share.value, share.low, share.high, len(marks), identity, bits)
    return found


@lru_cache(maxsize=64)
def _questions(asked: str) -> str:
    return _digest(asked)[:8]


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
            ("prompt tokens", _questions(repr(latency.get("prompt_tokens")))),
            *((f"latency.{key}", asked.get(key)) for key in ("prompts", "prompt", "seed")),
        ):
            told[name].append(str(value))
    return {name: " | ".join(dict.fromkeys(values)) for name, values in told.items()}
