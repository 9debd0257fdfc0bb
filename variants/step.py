"""A step makes one artifact out of its parent; a chain of steps is a variant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Protocol

from variants.artifact import Artifact, Kind, Made, sha256_of
from variants.configure import configure, nearest
from variants.errors import UserError
from variants.paths import resolve
from variants.steps.source import model_files

CONTENT = {"content": True}
"""Field metadata of a path whose content, not whose name, is part of the identity."""


class Step(Protocol):
    """A frozen dataclass whose fields are its schema; no field that moves a number has a default.

    `tools` are the packages whose version moves the bytes; `on_device` says that the device moves them too. A step
    whose own code has come to make other bytes has a `revision`: 1, then 2.
    """

    takes: ClassVar[tuple[Kind | None, ...]]
    gives: ClassVar[Kind]
    tools: ClassVar[tuple[str, ...]]
    on_device: ClassVar[bool]

    def run(self, parent: Artifact | None, out: Path, device: str) -> Made:
        """Write the payload into the folder `out`, which exists and is empty."""
        ...

    def expected_bytes(self, n_parameters: int) -> int:
        """Return about how many bytes the payload will take, for the plan's disk check."""
        ...


@dataclass(frozen=True)
class Planned:
    """A step of a variant, its configuration, and the identity of the artifact it will make."""

    name: str
    step: Step
    fingerprint: str
    node: Mapping[str, Any]


def plan(
    variant: str,
    names: Sequence[str],
    catalogue: Mapping[str, Mapping[str, Any]],
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


def identity(step: Step, device: str) -> dict[str, Any]:
    """Return what moves the bytes of a step's artifact: kind, fields, content of its files, tools, device."""
    values: dict[str, Any] = {}
    for field in fields(step):  # type: ignore[arg-type]
        value = getattr(step, field.name)
        values[field.name] = content_sha256(value) if field.metadata.get("content") and value else value
    revision: int = getattr(step, "revision", 0)
    return {
        **({"revision": revision} if revision else {}),
        "kind": type(step).__name__.lower(),
        "fields": values,
        "tools": {tool: version(tool) for tool in step.tools},
        "device": device if step.on_device else None,
    }


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
