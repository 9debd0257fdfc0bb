"""An artifact: a directory with a payload and its `artifact.json`, addressed by content and never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from variants.errors import UserError

Kind = Literal["hf", "nf4", "int8", "adapter", "gguf", "logprobs"]
"""`hf`: safetensors folder; `nf4`, `int8`: the same in 4, 8 bits; `adapter`: peft folder on its parent; `gguf`: a file.

`logprobs` is no model: it is the log-probabilities of a text under one (bench/steps/base_logprobs.py).
"""
NO_MODEL: frozenset[Kind] = frozenset({"logprobs"})
"""Kinds without weights: they have no parameters and no tensor types."""

MANIFEST = "artifact.json"
WEIGHT_SUFFIXES = (".safetensors", ".gguf")


@dataclass(frozen=True)
class File:
    """One payload file: its name inside the artifact, its size and its sha256."""

    name: str
    size_bytes: int
    sha256: str


class Identity(TypedDict):
    """What changes the bytes that a step makes: its class and fields, the content of its files, packages, device."""

    kind: str
    fields: Mapping[str, object]
    tools: dict[str, str]
    device: str | None
    revision: NotRequired[int]


class NamedIdentity(Identity):
    """The same with the name that the step had in the catalogue, which is no part of its identity."""

    name: str


@dataclass(frozen=True)
class StepReport:
    """What a step reports of its run, beside the files that it left in the output folder."""

    notes: Mapping[str, object]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Artifact:
    """A finished artifact on disk. `fingerprint` is its identity and its cache key."""

    path: Path
    kind: Kind
    fingerprint: str
    step: NamedIdentity
    files: tuple[File, ...]
    tensor_types: Mapping[str, int]
    n_parameters: int
    build_seconds: float
    peak_resident_bytes: int
    notes: Mapping[str, object]
    warnings: tuple[str, ...]
    parent: Artifact | None = None

    def lineage(self) -> list[Artifact]:
        """List the artifacts from the source to this one."""
        return [*(self.parent.lineage() if self.parent else []), self]

    def deployed(self) -> list[Artifact]:
        """List the artifacts that serving this one needs on disk: an adapter also needs the model under it."""
        return [*(self.parent.deployed() if self.parent and self.kind == "adapter" else []), self]

    @property
    def size_bytes(self) -> int:
        """Bytes of all payload files; those of the model under an adapter are not included."""
        return sum(file.size_bytes for file in self.files)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weight files alone."""
        return sum(file.size_bytes for file in self.files if file.name.endswith(WEIGHT_SUFFIXES))

    def gguf(self) -> Path:
        """Return the path of the one GGUF file."""
        return next(self.path / file.name for file in self.files if file.name.endswith(".gguf"))


def sha256_of(path: Path) -> str:
    """Hash a file's content; an unchanged file is read once, however often this is called."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@cache
def _sha256(path: Path, size_bytes: int, mtime_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def payload(folder: Path) -> Iterator[Path]:
    """Yield the payload files of a folder in the order of their names."""
    yield from sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)


def write_manifest(artifact: Artifact) -> None:
    """Write `artifact.json` into the artifact's folder."""
    fields = {
        "kind": artifact.kind,
        "fingerprint": artifact.fingerprint,
        "parent": artifact.parent.fingerprint if artifact.parent else None,
        "step": artifact.step,
        "files": [vars(file) for file in artifact.files],
        "tensor_types": artifact.tensor_types,
        "n_parameters": artifact.n_parameters,
        "build_seconds": artifact.build_seconds,
        "peak_resident_bytes": artifact.peak_resident_bytes,
        "notes": artifact.notes,
        "warnings": artifact.warnings,
    }
    (artifact.path / MANIFEST).write_text(json.dumps(fields, indent=1, allow_nan=False) + "\n")


def read_artifact(folder: Path) -> Artifact:
    """Open the artifact in `folder` and check every file's size against its manifest, parents included.

    Raises UserError where a file is missing or cut short: a damaged artifact is never measured.
    """
    try:
        fields = json.loads((folder / MANIFEST).read_text())
        parent = fields.pop("parent")
        files = tuple(File(**file) for file in fields.pop("files"))
        warnings = tuple(fields.pop("warnings"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / MANIFEST}: not a readable artifact ({error}); delete {folder} and run again"
        ) from None
    for file in files:
        path = folder / file.name
        size_bytes = path.stat().st_size if path.exists() else 0
        if size_bytes != file.size_bytes:
            raise UserError(
                f"{path}: {size_bytes:,} bytes, but {MANIFEST} says {file.size_bytes:,}: cut short or changed; "
                f"delete {folder} and run again, it will be built anew"
            )
    if parent and not (folder.parent / parent).is_dir():
        raise UserError(f"{folder}: its parent {parent} is gone; delete this folder too and run again")
    return Artifact(
        path=folder,
        files=files,
        warnings=warnings,
        parent=read_artifact(folder.parent / parent) if parent else None,
        **fields,
    )
