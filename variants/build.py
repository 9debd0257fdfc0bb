"""Build artifacts: cached by fingerprint, locked while built, verified before they get their name."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from variants.artifact import NO_MODEL, Artifact, File, Kind, payload, write_manifest
from variants.cache import Cache, remove
from variants.errors import UserError
from variants.process import gigabytes, peak_resident_bytes, usable_cores
from variants.step import Planned, fingerprint, identity
from variants.storage.checksum import read_sha256
from variants.weights import Tensor, histogram, tensors

NAMED = 4
"""How many of the largest parts of a plan are named where the disk is too small."""


def build(cache: Cache, planned: Planned, parent: Artifact | None, device: str) -> Artifact:
    """Return the artifact of one planned step, building it unless it is there.

    Two processes that want the same artifact build it once: the second waits for the first. The payload is written
    under a temporary name, hashed while it is written or read back, and renamed, so that a killed build leaves nothing
    that looks finished. A damaged artifact is removed and built again.

    Raises UserError where the disk of the cache is full.
    """
    from filelock import FileLock

    cache.create()
    cache.artifacts.mkdir(parents=True, exist_ok=True)
    with FileLock(cache.artifact_lock(planned.fingerprint)):
        finished = cache.find(planned.fingerprint)
        if finished:
            return finished
        for leftover in cache.leftovers(planned.fingerprint):
            remove(leftover)
        cache.discard(cache.artifact(planned.fingerprint))
        out = cache.unfinished(planned.fingerprint)
        try:
            out.mkdir()
            _make(out, planned, parent, device)
            out.rename(cache.artifact(planned.fingerprint))
        except BaseException as error:
            full = cache.no_room(error)
            shutil.rmtree(out, ignore_errors=True)
            if full and isinstance(error, Exception):
                raise UserError(full) from error
            raise
        return cache.open(planned.fingerprint)


def _make(out: Path, planned: Planned, parent: Artifact | None, device: str) -> None:
    """Run a step into a folder and describe there what it made.

    Raises UserError where a file that the step reads is not the one that was planned with: it has another fingerprint.
    """
    started = time.monotonic()
    made = planned.step.run(parent, out, device)
    seconds = time.monotonic() - started
    if fingerprint(planned.step, parent.fingerprint if parent else None, device) != planned.fingerprint:
        raise UserError(f"step {planned.name}: a file that it reads was changed after the run was planned; run again")
    kind = planned.step.gives
    stored = [] if kind in NO_MODEL else tensors(out)
    if not stored and kind not in NO_MODEL:
        raise RuntimeError(f"step {planned.name} left no weight file in {out}")
    artifact = Artifact(
        path=out,
        kind=kind,
        fingerprint=planned.fingerprint,
        step={"name": planned.name, **identity(planned.step, device)},
        files=_described(out, made.checksums),
        tensor_types=histogram(stored),
        n_parameters=_count(kind, stored, parent),
        build_seconds=round(seconds, 3),
        peak_resident_bytes=peak_resident_bytes(),
        notes=dict(made.notes),
        warnings=made.warnings,
        parent=parent,
    )
    write_manifest(artifact)


def _described(out: Path, checksums: Mapping[str, str]) -> tuple[File, ...]:
    """Describe the payload files; several are synced and hashed at the same time, where the step did not hash them."""

    def describe(file: Path) -> File:
        _sync(file)
        name = str(file.relative_to(out))
        return File(name, file.stat().st_size, checksums.get(name) or read_sha256(file))

    with ThreadPoolExecutor(usable_cores()) as pool:
        return tuple(pool.map(describe, payload(out)))


def _sync(file: Path) -> None:
    """Wait until a file is on the disk: its checksum holds after a loss of power, and no measurement writes it."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _count(kind: Kind, tensors: list[Tensor], parent: Artifact | None) -> int:
    """Count parameters: packed weights count unpacked, an adapter together with the model under it."""
    stored = sum(t.n_elements for t in tensors)
    if kind in ("nf4", "int8") and parent:
        return parent.n_parameters
    return stored + parent.n_parameters if kind == "adapter" and parent else stored


def check_disk(needed_bytes: Mapping[str, int], free_bytes: int, cache: Path) -> None:
    """Raise UserError where the plan needs more than there is, with a tenth to spare.

    `needed_bytes` are those of each step and of a model that is made; the error names the largest.
    """
    all_bytes = sum(needed_bytes.values()) * 1.1
    if all_bytes > free_bytes:
        largest = sorted(needed_bytes, key=lambda name: -needed_bytes[name])[:NAMED]
        parts = ", ".join(f"{name} {gigabytes(needed_bytes[name])}" for name in largest)
        raise UserError(
            f"cache_dir={cache}: the plan needs {gigabytes(all_bytes)} of disk, {gigabytes(free_bytes)} are free "
            f"(the largest: {parts}); free some, choose another cache_dir=…, or fewer variants"
        )
