"""Find, and on request remove, what the cache holds for no record, and what ended and killed runs left behind."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from bench.files import leftovers, remove_leftovers
from variants.artifact import MANIFEST
from variants.cache import TAG, UNFINISHED, Cache
from variants.errors import UserError

FINGERPRINT = re.compile(rb"\b[0-9a-f]{64}\b")


class _Step(Struct, frozen=True):
    name: str = "damaged"


class _Manifest(Struct, frozen=True):
    """The part of an artifact's manifest that is needed here; of a damaged one, the defaults."""

    fingerprint: str | None = None
    parent: str | None = None
    step: _Step = _Step()


@dataclass(frozen=True)
class Garbage:
    """A folder that no record refers to: an artifact, scores of one, or what a killed build left.

    `depth` counts its ancestors and itself; `held` says that a build is using it.
    """

    path: Path
    step: str
    size_bytes: int
    depth: int
    held: bool


@dataclass(frozen=True)
class Files:
    """Files of one kind that nobody needs any more: jobs that are done, locks that nobody holds, cut-off writes."""

    kind: str
    paths: Sequence[Path]

    @property
    def size_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(_size(path) for path in self.paths)


def check_cache(cache: Cache) -> None:
    """Raise UserError for a folder that this tool has not marked as its cache: what is in it is somebody else's."""
    if not cache.is_marked:
        raise UserError(
            f"--cache: {cache.root} is not marked as a cache of this tool (no {TAG} of it there); "
            "a run with that cache_dir marks it, unless something else is in it"
        )


def find_garbage(cache: Cache, results: Path) -> list[Garbage]:
    """List the cached folders that no JSON file under `results` refers to; a broken record counts too.

    The ancestors of an artifact that is referred to stay, and scores stay as long as their artifact. What a measure
    compares with (the kept log-probabilities of a base) is in no record: measuring another variant builds it again.

    Raises UserError where there is no such folder: a mistyped one would make garbage of everything.
    """
    kept = {ancestor for name in _named(cache, results) for ancestor in _lineage(cache, name)}
    folders = [path for path in cache.removable() if path.name not in kept]
    return [
        _garbage(cache, path)
        for path in folders
        if cache.holds_scores(path)
        or cache.holds_model(path)
        or UNFINISHED.fullmatch(path.name)
        or _manifest(path).fingerprint == path.name
    ]


def find_files(cache: Cache, results: Path) -> list[Files]:
    """List the files that nobody needs any more, by kind; a failed record needs the job and the log that it names.

    It also needs what the first pass measured of its cell, which is not measured again then.
    """
    text = b"\n".join(content for _, content in _records(cache, results) if b'"failed"' in content)
    jobs = [path for path in cache.job_files() if path.name.encode() not in text]
    kept = [path for path in cache.stages() if path.stem.encode() not in text]
    locks = [path for path in cache.locks() if not _is_held(path)]
    folders = [Path(folder) for place in (results, cache.root) for folder, _, _ in os.walk(place)]
    cut_off = [path for folder in folders for path in leftovers(folder)]
    files = [
        Files("job files", jobs),
        Files("first passes", kept),
        Files("locks", locks),
        Files("cut-off writes", cut_off),
    ]
    return [some for some in files if some.paths]


def remove_garbage(cache: Cache, results: Path, garbage: list[Garbage]) -> tuple[list[Garbage], list[Files]]:
    """Remove what is still garbage and not held, descendants before their ancestors; return what was removed.

    The files that nobody needs go too.

    Raises UserError while a sweep runs in this cache: it may be about to measure what no record names yet.
    """
    removed = []
    with FileLock(cache.removal_lock):
        if any(_is_held(lock) for lock in cache.cell_locks()):
            raise UserError(f"--yes: a sweep is running in {cache.root}; run `bench gc` again when it has ended")
        still = {item.path for item in find_garbage(cache, results)}
        for item in sorted(garbage, key=lambda item: item.depth, reverse=True):
            if item.path in still and _remove(cache, item):
                removed.append(item)
        return removed, [Files(some.kind, _remove_files(some)) for some in find_files(cache, results)]


def _remove(cache: Cache, item: Garbage) -> bool:
    try:
        with FileLock(cache.lock_of(item.path), timeout=0):
            cache.discard(item.path)
    except Timeout:
        return False
    return True


def _remove_files(files: Files) -> list[Path]:
    if files.kind == "cut-off writes":
        folders = dict.fromkeys(path.parent for path in files.paths)
        return [path for folder in folders for path in remove_leftovers(folder)]
    removed = []
    for path in files.paths:
        with suppress(Timeout, FileNotFoundError):
            if files.kind == "locks":
                with FileLock(path, timeout=0):  # whoever waits for it sees that it has no name, and makes another
                    path.unlink()
            else:
                path.unlink()
            removed.append(path)
    return removed


def _records(cache: Cache, results: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the JSON files of the results, and those that wait in the cache for room there, with their content."""
    if not results.is_dir():
        raise UserError(f"--results: no folder {results}, and so nothing that says which artifacts to keep")
    for folder in (results, cache.unplaced(results)):
        for path in folder.rglob("*.json"):
            if folder == results and path.is_relative_to(cache.root):
                continue  # a cache in the results: its manifests are no records
            try:
                if path.is_file():  # no pipe, device or dangling link
                    yield path, path.read_bytes()
            except OSError as error:
                raise UserError(
                    f"--results: {path} cannot be read ({error.strerror}), and so not which artifacts it names"
                ) from None


def _named(cache: Cache, results: Path) -> set[str]:
    return {name.decode() for _, content in _records(cache, results) for name in FINGERPRINT.findall(content)}


def _garbage(cache: Cache, path: Path) -> Garbage:
    size_bytes = sum(_size(file) for file in path.rglob("*"))
    if cache.holds_scores(path):
        step = "scores"
    elif path.name.startswith("."):
        step = "unfinished"
    elif cache.holds_model(path):
        step = "random model"
    else:
        step = _manifest(path).step.name
    return Garbage(path, step, size_bytes, len(_lineage(cache, path.name)), _is_held(cache.lock_of(path)))


def _size(path: Path) -> int:
    try:
        seen = path.lstat()
    except OSError:  # it is gone
        return 0
    return seen.st_size if stat.S_ISREG(seen.st_mode) else 0


def _lineage(cache: Cache, name: str) -> list[str]:
    """List an artifact's name and those that it descends from, as far as they are there."""
    names: list[str] = []
    parent: str | None = name
    while parent is not None and parent not in names:
        names.append(parent)
        parent = _manifest(cache.artifact(parent)).parent
    return names


def _manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes() if path.is_file() else b"", type=_Manifest)
    except (OSError, ValueError, RecursionError):
        return _Manifest()


def _is_held(lock: Path) -> bool:
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
