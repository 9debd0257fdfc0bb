"""The index of `bench history`: the values of each commit, so that its records are read once and not each time.

One JSON file in the cache, in the folder of the charts. The records of a commit are summed up again where the names,
sizes or times of its files have changed; an index that is gone, broken or of another version is built again. Nothing
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
from functools import cache, partial
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from bench.files import write_at_once
from bench.history.packed import pack
from bench.history.series import Packed, Value
from bench.metrics import canary
from bench.metrics.catalogue import metrics_of, templates
from bench.metrics.metric import Metric, Records, identity_of
from bench.records import store
from bench.records.types import Record
from variants.paths import ROOT

FEW_COMMITS = 40
"""Below this many a second process costs more than it saves."""
ROOMS = ("history", "metrics", "records", "stats")
"""The rooms whose code decides the values of the index: where it changes, the index is built again."""


class _Measured(Struct, frozen=True):
    """One variant of one sweep at one commit; `failures` counts its failed rounds."""

    machine: str
    sha: str
    sweep: str
    variant: str
    artifact: str | None
    failures: int
    bandwidth_gb_s: float | None


class CommitValues(_Measured, frozen=True):
    """The values of one variant of one sweep at one commit."""

    values: Mapping[str, Value]


class _Number(Struct, array_like=True):
    """A value; its identity and its sample are places in `_Shared`."""

    value: int | float  # a size stays the whole number that it is
    low: float | None
    high: float | None
    n: int
    template: int
    identity: int
    sample: int | None


class _Variant(_Measured, frozen=True):
    """`CommitValues` as the file holds them."""

    values: dict[str, _Number]


class _Commit(Struct):
    """The records of one commit; `listing` is what their files looked like when they were read."""

    listing: str
    variants: list[_Variant]
    left_out: list[str]


class _Shared(Struct):
    """What many values have in common, each once."""

    identities: list[dict[str, str]]
    samples: list[Packed]


class _Index(Struct):
    version: str
    shared: _Shared
    commits: dict[str, _Commit]


@dataclass(frozen=True)
class _Summed:
    """A `_Commit` with everything that is shared filled in."""

    listing: str
    variants: tuple[CommitValues, ...]
    left_out: tuple[str, ...]


def read_values(results: Path, kept: Path) -> tuple[list[CommitValues], list[str], list[str]]:
    """Return the values of all committed states under a folder of records, which files were left out, and notes.

    `kept` is the folder of the index; a note says where that takes no files.
    """
    path, notes = kept / "index.json", []
    known = _load(path)
    listings = _listings(results)
    todo = [label for label, listing in listings.items() if label not in known or known[label].listing != listing]
    if todo or known.keys() != listings.keys():
        fresh = dict(zip(todo, _sum_up(results, {label: listings[label] for label in todo}), strict=True))
        known = {label: fresh[label] if label in fresh else known[label] for label in listings}
        try:
            _save(path, known)
        except OSError as error:
            notes = [f"the next call reads all records again: {kept} takes no index: {error.strerror}"]
    values = [values for commit in known.values() for values in commit.variants]
    return values, [line for commit in known.values() for line in commit.left_out], notes


def _listings(results: Path) -> dict[str, str]:
    """Return for each committed state a digest of the names, sizes and times of its files, on all machines."""
    files: dict[str, list[tuple[str, str, int, int]]] = defaultdict(list)
    for folder in sorted(results.glob("*/*/")):
        if "-dirty" not in folder.name:
            try:
                with os.scandir(folder) as entries:
                    stats = [(entry.name, _stat(entry)) for entry in entries if entry.name.endswith(".json")]
            except OSError:  # not readable, which `store.read` says
                stats = [("", folder.stat())]
            files[folder.name] += [(str(folder.parent), name, s.st_size, s.st_mtime_ns) for name, s in stats]
    return {label: _digest(repr(sorted(listed))) for label, listed in files.items() if listed}


def _stat(entry: os.DirEntry[str]) -> os.stat_result:
    """Return the status of a file, or that of the link where it leads nowhere."""
    try:
        return entry.stat()
    except OSError:
        return entry.stat(follow_symlinks=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _version() -> str:
    """Return a digest of the code that sums up: another code, another index."""
    root = ROOT / "bench"
    sources = sorted(path for room in ROOMS for path in (root / room).glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _load(path: Path) -> dict[str, _Summed]:
    try:
        index = msgspec.json.decode(path.read_bytes(), type=_Index)
        if index.version != _version():
            return {}
        return {
            label: _Summed(
                commit.listing,
                tuple(_with_shared(variant, index.shared) for variant in commit.variants),
                tuple(commit.left_out),
            )
            for label, commit in index.commits.items()
        }
    except (OSError, ValueError, IndexError):
        return {}


def _with_shared(variant: _Variant, shared: _Shared) -> CommitValues:
    values = {
        name: Value(
            number.value,
            number.low,
            number.high,
            number.n,
            number.template,
            shared.identities[number.identity],
            None if number.sample is None else shared.samples[number.sample],
        )
        for name, number in variant.values.items()
    }
    return CommitValues(**{**structs.asdict(variant), "values": values})


def _save(path: Path, commits: Mapping[str, _Summed]) -> None:
    """Write the index under a temporary name and rename it; what many values share is written once."""
    identities: dict[tuple[tuple[str, str], ...], int] = {}
    samples: dict[Packed, int] = {}

    def number(value: Value) -> _Number:
        identity = identities.setdefault(tuple(value.identity.items()), len(identities))
        sample = None if value.sample is None else samples.setdefault(value.sample, len(samples))
        return _Number(*value[:5], identity, sample)

    def variant(values: CommitValues) -> _Variant:
        numbers = {name: number(value) for name, value in values.values.items()}
        return _Variant(**{**structs.asdict(values), "values": numbers})

    kept = {
        label: _Commit(commit.listing, [variant(values) for values in commit.variants], list(commit.left_out))
        for label, commit in commits.items()
    }
    index = _Index(_version(), _Shared([dict(identity) for identity in identities], list(samples)), kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_at_once(path, msgspec.json.encode(index).decode())


def _sum_up(results: Path, listings: Mapping[str, str]) -> Iterator[_Summed]:
    one = partial(_commit, results)
    if len(listings) < FEW_COMMITS:
        yield from map(one, listings.items())
        return
    with ProcessPoolExecutor(initializer=gc.disable) as pool:  # records hold no cycles, and thousands of lists
        yield from pool.map(one, listings.items(), chunksize=16)


def _commit(results: Path, listed: tuple[str, str]) -> _Summed:
    """Sum up the records of one commit: its variants, and a line for each file that is no sound record."""
    label, listing = listed
    records, left_out = store.read(results, label)
    sweeps: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        sweeps[record.machine.id, record.sweep].append(record)
    variants = [values for sweep in sweeps.values() for values in _sweep(sweep)]
    return _Summed(listing, tuple(variants), tuple(map(str, left_out)))


def _sweep(records: Records) -> Iterator[CommitValues]:
    metrics = [metric for metric in metrics_of(records) if metric.test]
    variants: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        variants[record.variant].append(record)
    for variant, rounds in variants.items():
        yield CommitValues(
            machine=rounds[0].machine.id,
            sha=rounds[0].sha,
            sweep=rounds[0].sweep,
            variant=variant,
            artifact=next((record.fingerprint for record in rounds if record.fingerprint), None),
            failures=sum(record.failed for record in rounds),
            bandwidth_gb_s=canary.medians(rounds).get(canary.bandwidth_of(rounds[-1])),
            values=dict(_values(metrics, rounds)),
        )


def _values(metrics: Sequence[Metric], rounds: Records) -> Iterator[tuple[str, Value]]:
    identities: dict[object, dict[str, str]] = {}
    for metric in metrics:
        estimate = metric.value(rounds)
        if estimate is None:
            continue
        identity = identities.get((metric.identity, metric.measure))
        if identity is None:
            identity = identities[metric.identity, metric.measure] = identity_of(metric, rounds)
        numbers = estimate.value, estimate.low, estimate.high, estimate.n
        yield metric.name, Value(*numbers, _places()[_key(metric)], identity, pack(metric, rounds))


@cache
def _places() -> dict[tuple[str | None, ...], int]:
    return {_key(template): place for place, template in enumerate(templates())}


def _key(metric: Metric) -> tuple[str | None, ...]:
    return metric.measure, metric.kind, metric.unit, metric.better
