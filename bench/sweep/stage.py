"""What a pass measured of a cell. That of the first pass is kept in the cache until the record of the cell is written.

A kill then loses the stage that ran and no other, and what is deterministic is never measured twice.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.files import read_sealed, write_sealed
from bench.records.types import CellError, Company, Made
from bench.records.values import AnchorTimes
from bench.sweep.jobs import Result
from bench.sweep.plan.cell import Cell, Pass
from variants.artifact import Artifact
from variants.errors import UserError


class Stage(Struct):
    """One pass of a cell: what was built and measured, how long that took, in which company, and why it failed.

    `anchor` has what was timed of another variant on the same cards.
    """

    name: Pass
    run: str
    started_at: str
    lineage: tuple[Made, ...] = ()
    result: Result = msgspec.field(default_factory=Result)
    seconds: dict[str, float] = {}
    company: Company | None = None
    warnings: list[str] = []
    error: CellError | None = None
    anchor: AnchorTimes | None = None

    @property
    def is_built(self) -> bool:
        """Say whether there is an artifact to measure."""
        return bool(self.lineage)


def keep(cell: Cell, stage: Stage) -> None:
    """Keep what the first pass measured. Where the disk is full, the second pass measures it again."""
    path = cell.cache.stage(cell.key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, msgspec.json.encode(stage))


def kept(cell: Cell) -> Stage | None:
    """Return what the first pass measured of a cell, None where that is not here, failed in another run, or is stale.

    It is stale where the artifact was built again since, and has other bytes.
    """
    stage = read(cell.cache.stage(cell.key))
    if stage is None or (stage.error and stage.run != cell.settings.sweep_run):
        return None
    return stage if _bytes(stage.lineage) == _bytes(lineage(cell)) else None


def read(path: Path) -> Stage | None:
    """Read what is kept of a cell; None where there is nothing, it was changed, or another version kept it."""
    content = read_sealed(path)
    try:
        return msgspec.json.decode(content, type=Stage) if content else None
    except msgspec.DecodeError:
        return None


def drop(cell: Cell) -> None:
    """Remove what is kept of a cell that has its record."""
    cell.cache.stage(cell.key).unlink(missing_ok=True)


def lineage(cell: Cell) -> tuple[Made, ...]:
    """Describe the artifacts of a cell, step by step; empty where they are not built, or damaged."""
    try:
        artifact = cell.cache.open(cell.fingerprint)
    except UserError:
        return ()
    return tuple(_made(planned.name, built) for planned, built in zip(cell.chain, artifact.lineage(), strict=True))


def _bytes(made: tuple[Made, ...]) -> list[tuple[str, dict[str, str]]]:
    return [(one.fingerprint, one.sha256) for one in made]


def _made(step: str, artifact: Artifact) -> Made:
    revision = {"revision": artifact.step["revision"]} if "revision" in artifact.step else {}
    return Made(
        step=step,
        kind=artifact.kind,
        fingerprint=artifact.fingerprint,
        size_bytes=artifact.size_bytes,
        build_seconds=artifact.build_seconds,
        build_peak_bytes=artifact.peak_resident_bytes,
        sha256={file.name: file.sha256 for file in artifact.files if file.name.endswith((".gguf", ".safetensors"))},
        tools={**artifact.step["tools"], **revision},
        notes=dict(artifact.notes),
        warnings=tuple(artifact.warnings),
    )
