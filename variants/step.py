"""A step makes one artifact out of its parent; a chain of steps is a variant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, cast, runtime_checkable

from variants.artifact import Artifact, Identity, Kind, StepReport
from variants.configure import configure, nearest
from variants.errors import UserError
from variants.model_folder import model_files
from variants.paths import resolve
from variants.storage.checksum import sha256_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Role = Literal["source", "convert", "quantize", "finetune", "merge", "reference"]
"""What a step does to a model; a `reference` is no model but numbers of one, which others are compared with."""
CONTENT = {"content": True}
"""Field metadata of a path whose content, not whose name, is part of the identity."""
PLACE = {"place": True}
"""Field metadata of a folder that is no part of the identity: what is read from it is identified by other means."""
LIBRARY_BYTES = 3 << 29
"""What a process takes with torch or llama.cpp in it, and to compute a few hundred tokens, beside any weight."""
PERMISSION = {"permission": True}
"""Field metadata of what a run is allowed to do: no number depends on it, so it is no part of the identity."""


class Step(Protocol):
    """A frozen dataclass whose fields are its schema; no field that changes a number has a default.

    `role` is what the step does to a model. `tools` are the packages whose version changes the bytes; `on_device` says
    that the device changes them too. `revision` is raised whenever the step's own code comes to make other bytes; 0 is
    no part of the identity. `expected_cost` is about how long a run takes, in units of one measured round of a variant
    on the embedded suite: for the time left alone, never for a result.
    """

    role: ClassVar[Role]
    takes: ClassVar[tuple[Kind | None, ...]]
    gives: ClassVar[Kind]
    tools: ClassVar[tuple[str, ...]]
    on_device: ClassVar[bool]
    revision: ClassVar[int]
    expected_cost: ClassVar[float]

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Write the payload into the folder `out`, which exists and is empty."""
        ...

    def expected_bytes(self, n_parameters: int) -> int:
        """Return about how many bytes the payload will take, for the plan's disk check."""
        ...

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return about the peak memory of a run in bytes, for planning which runs go on side by side.

        That of the card is not in it, nor are pages of files, which the system takes back where it needs them.
        """
        ...


@runtime_checkable
class SharesFiles(Protocol):
    """A step that need not write all of its payload: part of it may be on the cache's disk already."""

    def written_bytes(self, cache: Path) -> int:
        """Return about how many bytes it will write into a cache."""
        ...


@runtime_checkable
class ChecksModel(Protocol):
    """What a step has that can say of a model, before anything is built, that it cannot be used."""

    def check(self, model: Path, device: str) -> None:
        """Raise UserError where this step, on `device`, cannot come of the model folder."""
        ...


@runtime_checkable
class Trains(Protocol):
    """A step that learns from rows of questions with their answers."""

    def texts(self) -> list[Path]:
        """List the files of the rows."""
        ...


def largest_tensor(n_parameters: int) -> int:
    """Return about the elements of the largest tensor, an embedding: a quarter of a small model, at most 2^30."""
    return min(n_parameters // 4, 1 << 30)


@dataclass(frozen=True)
class Planned:
    """A step of a variant, its configuration, and the identity of the artifact it will make."""

    name: str
    step: Step
    fingerprint: str
    node: Mapping[str, object]


def plan(
    variant: str,
    names: Sequence[str],
    catalogue: Mapping[str, Mapping[str, object]],
    device: str,
) -> list[Planned]:
    """Check a variant's list of steps against the catalogue and give each its fingerprint.

    Raises UserError for an unknown step, a wrong field, or a step that cannot follow the one before it.
    """
    chain: list[Planned] = []
    kind: Kind | None = None
    for name in names:
        if name not in catalogue:
            raise UserError(f"variant {variant}: unknown step {name!r}; {nearest(name, catalogue)}")
        step: Step = configure(catalogue[name], f"steps.{name}")
        if kind not in step.takes:
            before = f"{chain[-1].name} gives {kind}" if chain else "it comes first"
            wanted = " or ".join(str(k) if k else "nothing (it starts a chain)" for k in step.takes)
            raise UserError(f"variant {variant}: step {name!r} takes {wanted}, but {before}; reorder its steps")
        kind = step.gives
        parent = chain[-1].fingerprint if chain else None
        chain.append(Planned(name, step, fingerprint(step, parent, device), catalogue[name]))
    if not chain:
        raise UserError(f"variant {variant}: has no steps; a chain starts with 'source'")
    return chain


def identity(step: Step, device: str) -> Identity:
    """Return what changes the bytes of a step's artifact: kind, fields, content of its files, tools, device."""
    stated: Identity = {
        "kind": type(step).__name__.lower(),
        "fields": fields_of(step),
        "tools": {tool: version(tool) for tool in step.tools},
        "device": device if step.on_device else None,
    }
    if step.revision:
        stated["revision"] = step.revision
    return stated


def fields_of(configured: object) -> dict[str, object]:
    """Return the fields that identify a step or a measure: a `CONTENT` path by its sha256, a `PLACE` or a
    `PERMISSION` not at all.
    """
    values: dict[str, object] = {}
    for field in fields(cast("DataclassInstance", configured)):
        value = getattr(configured, field.name)
        if not (field.metadata.get("place") or field.metadata.get("permission")):
            values[field.name] = content_sha256(value) if field.metadata.get("content") and value else value
    return values


def fingerprint(step: Step, parent: str | None, device: str) -> str:
    """Return the sha256 (hex) of the parent's fingerprint and of the step's identity."""
    text = json.dumps([parent, identity(step, device)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def content_sha256(name: str) -> str:
    """Hash a data file's content, or the names and contents of a folder's model files."""
    path = resolve(name)
    if path.is_dir():
        listing = [(file.name, sha256_of(file)) for file in model_files(path)]
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
    if not path.is_file():
        raise UserError(f"{name}: no such file; paths are relative to the project's folder")
    return sha256_of(path)
