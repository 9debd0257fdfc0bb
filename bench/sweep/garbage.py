"""Find, and on request remove, cached artifacts and scores that no record refers to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from variants.artifact import MANIFEST
from variants.cache import Cache
from variants.errors import UserError

FINGERPRINT = re.compile(rb"\b[0-9a-f]{64}\b")


class _Step(Struct, frozen=True):
    name: str = "damaged"


class _Manifest(Struct, frozen=True):
    """The part of an artifact's manifest that is needed here; of a damaged one, the defaults."""

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


def find_garbage(cache: Cache, results: Path) -> list[Garbage]:
    """List the cached folders that no JSON file under `results` refers to; a broken record counts too.

    The ancestors of an artifact that is referred to stay, and scores stay as long as their artifact. What a measure
    compares with (the kept log-probabilities of a base) is in no record: measuring another variant builds it again.

    Raises UserError where there is no such folder: a mistyped one would make garbage of everything.
    """
    if not results.is_dir():
        raise UserError(f"--results: no folder {results}, and so nothing that says which artifacts to keep")
    files = (path for path in results.rglob("*.json") if path.is_file())  # a pipe would wait for ever
    named = {name.decode() for path in files for name in FINGERPRINT.findall(path.read_bytes())}
    kept = {ancestor for name in named for ancestor in _lineage(cache, name)}
    return [_garbage(cache, path) for path in cache.removable() if path.name not in kept]


def remove(cache: Cache, results: Path, garbage: list[Garbage]) -> list[Garbage]:
    """Remove what is still garbage and not held, descendants before their ancestors; return what was removed.

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
    return removed


def _remove(cache: Cache, item: Garbage) -> bool:
    try:
        with FileLock(cache.lock_of(item.path), timeout=0):
            doomed = item.path.with_name(f".{item.path.name.lstrip('.')}.gc")
            item.path.rename(doomed)  # first of all: half an artifact must not look like a whole one
            shutil.rmtree(doomed)
    except Timeout:
        return False
    return True


def _garbage(cache: Cache, path: Path) -> Garbage:
    size_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if cache.holds_scores(path):
        step = "scores"
    elif path.name.startswith("."):
        step = "unfinished"
    else:
        step = _manifest(path).step.name
    return Garbage(path, step, size_bytes, len(list(_lineage(cache, path.name))), _is_held(cache.lock_of(path)))


def _lineage(cache: Cache, name: str) -> Iterator[str]:
    """Yield an artifact's name and those that it descends from, as far as they are there."""
    parent: str | None = name
    while parent is not None:
        yield parent
        parent = _manifest(cache.artifact(parent)).parent


def _manifest(folder: Path) -> _Manifest:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, ValueError):
        return _Manifest()


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
