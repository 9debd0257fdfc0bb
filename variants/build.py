"""Build artifacts: cached by fingerprint, locked while built, verified before they get their name."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from variants.artifact import NO_MODEL, Artifact, File, Kind, payload, read_artifact, sha256_of, write_manifest
from variants.cache import Cache
from variants.errors import UserError
from variants.process import peak_resident_bytes
from variants.step import Planned, identity
from variants.weights import Tensor, histogram, tensors


def build(cache: Cache, planned: Planned, parent: Artifact | None, device: str) -> Artifact:
    """Return the artifact of one planned step, building it unless it is there.

    Two processes that want the same artifact build it once: the second waits for the first. The payload is written
    under a temporary name, read back, and renamed, so that a killed build leaves nothing that looks finished.
    """
    from filelock import FileLock

    cache.artifacts.mkdir(parents=True, exist_ok=True)
    with FileLock(cache.artifact_lock(planned.fingerprint)):
        finished = cache.find(planned.fingerprint)
        if finished:
            return finished
        for leftover in cache.leftovers(planned.fingerprint):
            shutil.rmtree(leftover)
        out = cache.unfinished(planned.fingerprint)
        out.mkdir()
        started = time.monotonic()
        made = planned.step.run(parent, out, device)
        seconds = time.monotonic() - started
        kind = planned.step.gives
        stored = [] if kind in NO_MODEL else tensors(out)
        if not stored and kind not in NO_MODEL:
            raise RuntimeError(f"step {planned.name} left no weight file in {out}")
        artifact = Artifact(
            path=out,
            kind=kind,
            fingerprint=planned.fingerprint,
            step={"name": planned.name, **identity(planned.step, device)},
            files=tuple(File(str(p.relative_to(out)), p.stat().st_size, sha256_of(p)) for p in payload(out)),
            tensor_types=histogram(stored),
            n_parameters=_count(kind, stored, parent),
            build_seconds=round(seconds, 3),
            peak_resident_bytes=peak_resident_bytes(),
            notes=dict(made.notes),
            warnings=made.warnings,
            parent=parent,
        )
        write_manifest(artifact)
        out.rename(cache.artifact(planned.fingerprint))
        return read_artifact(cache.artifact(planned.fingerprint))


def _count(kind: Kind, tensors: list[Tensor], parent: Artifact | None) -> int:
    """Count parameters: packed weights count unpacked, an adapter together with the model under it."""
    stored = sum(t.n_elements for t in tensors)
    if kind in ("nf4", "int8") and parent:
        return parent.n_parameters
    return stored + parent.n_parameters if kind == "adapter" and parent else stored


def check_disk(needed_bytes: int, free_bytes: int, cache: Path) -> None:
    """Raise UserError where the plan needs more than there is, with a tenth to spare."""
    if needed_bytes * 1.1 > free_bytes:
        raise UserError(
            f"cache_dir={cache}: the plan needs {needed_bytes * 1.1 / 1e9:,.1f} GB of disk, {free_bytes / 1e9:,.1f} GB "
            "are free; free some, choose another cache_dir=…, or fewer variants"
        )
