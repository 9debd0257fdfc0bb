"""What the cache holds for no record: artifacts that none names, and scores kept of them; and its removal."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from variants.artifact import MANIFEST
from variants.cache import Cache
from variants.errors import UserError

FINGERPRINT = re.compile(rb"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Garbage:
    """A folder that nothing names: an artifact, scores of one, or what a killed build left.

    `held` where a build is at work on it.
    """

    path: Path
    step: str
    size_bytes: int
    depth: int
    held: bool


def find_garbage(cache: Cache, results: Path) -> list[Garbage]:
    """List what no file under `results` names, be it a sound record or not, and what is no ancestor of what is named.

    Scores stay as long as their artifact may. What a base made of the text of a divergence is named by no record: its
    numbers are in the records, and measuring another variant makes it anew in one pass.

    Raises UserError where there is no such folder: a mistyped one would make garbage of everything.
    """
    if not results.is_dir():
        raise UserError(f"--results: no folder {results}, and so nothing that says which artifacts to keep")
    named = {name.decode() for path in results.rglob("*.json") for name in FINGERPRINT.findall(path.read_bytes())}
    kept = {ancestor for name in named for ancestor in _lineage(cache, name)}
    return [_garbage(cache, path) for path in cache.removable() if path.name not in kept]


def remove(cache: Cache, results: Path, garbage: list[Garbage]) -> list[Garbage]:
    """Remove what is still garbage and not held, descendants first; return what was removed.

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
            item.path.rename(doomed)  # at once: half an artifact must not look like a whole one
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
        step = str((_manifest(path).get("step") or {}).get("name", "damaged"))
    return Garbage(path, step, size_bytes, len(list(_lineage(cache, path.name))), _is_held(cache.lock_of(path)))


def _lineage(cache: Cache, name: str) -> Iterator[str]:
    """Yield an artifact's name and those that it descends from, as far as they are there."""
    parent: Any = name
    while isinstance(parent, str):
        yield parent
        parent = _manifest(cache.artifact(parent)).get("parent")


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        FileLock(lock, timeout=0).acquire().lock.release()
    except Timeout:
        return True
    return False
