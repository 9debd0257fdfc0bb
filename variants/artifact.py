"""An artifact: a directory with a payload and its `artifact.json`, addressed by content and never changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

import msgspec

from variants.errors import UserError
from variants.storage.checksum import Look, read_sha256

Kind = Literal["hf", "nf4", "int8", "adapter", "gguf", "logprobs"]
"""`hf`: safetensors folder; `nf4`, `int8`: the same in 4, 8 bits; `adapter`: peft folder on its parent; `gguf`: a file.

`logprobs` is no model: it is the log-probabilities of a text under one (bench/steps/base_logprobs.py).
"""
NO_MODEL: frozenset[Kind] = frozenset({"logprobs"})
"""Kinds without weights: they have no parameters and no tensor types."""

MANIFEST = "artifact.json"
VERIFIED = "verified.json"
"""Where an artifact keeps what its files looked like when their checksums were last computed."""
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
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
    """What a step reports of its run, beside the files that it left in the output folder.

    `checksums`: the sha256 by name of those files that the step hashed while it wrote them.
    """

    notes: Mapping[str, object]
    warnings: tuple[str, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Described:
    """What is said of an artifact in memory and in its manifest alike."""

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


@dataclass(frozen=True, kw_only=True)
class Artifact(_Described):
    """A finished artifact on disk. `fingerprint` is its identity and its cache key."""

    path: Path
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

    @property
    def content(self) -> str:
        """The sha256 of the names and checksums of all payload files: two artifacts with it have the same bytes."""
        listing = sorted((file.name, file.sha256) for file in self.files)
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()

    def gguf(self) -> Path:
        """Return the path of the one GGUF file."""
        return next(self.path / file.name for file in self.files if file.name.endswith(".gguf"))


class DamagedError(UserError):
    """An artifact whose files are not those of its manifest: it is never measured, and is built again."""


@dataclass(frozen=True, kw_only=True)
class _Manifest(_Described):
    """What `artifact.json` holds; `parent_content` is absent in older ones."""

    parent: str | None
    parent_content: str | None = None


@dataclass(frozen=True)
class _Verified:
    """The sha256 that a file had, and what it looked like then."""

    sha256: str
    look: Look


def payload(folder: Path) -> Iterator[Path]:
    """Yield the payload files of a folder in the order of their names, without what starts with a dot."""
    for path in sorted(folder.rglob("*")):
        is_file = path.is_symlink() or not path.is_dir()
        if is_file and path.name not in (MANIFEST, VERIFIED) and not path.name.startswith("."):
            yield path


def write_manifest(artifact: Artifact) -> None:
    """Write `artifact.json` into the artifact's folder, and that its files were just verified."""
    fields = {
        "kind": artifact.kind,
        "fingerprint": artifact.fingerprint,
        "parent": artifact.parent.fingerprint if artifact.parent else None,
        "parent_content": artifact.parent.content if artifact.parent else None,
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
    _write_verified(
        artifact.path, {f.name: _Verified(f.sha256, Look.of(artifact.path / f.name)) for f in artifact.files}
    )


def check_artifact(folder: Path, *, in_full: bool = False) -> _Manifest:
    """Read the manifest of an artifact and check the files in its folder against it; return the manifest.

    A file that looks as it did when its checksum was last computed is not read again, unless `in_full`.

    Raises DamagedError where a file is missing, changed or of something else.
    """
    manifest = _manifest(folder)
    if in_full:
        with suppress(OSError):  # what it says is not believed any more, whatever comes of this
            (folder / VERIFIED).unlink(missing_ok=True)
    known = _verified(folder)
    expected = {file.name: file for file in manifest.files}
    for path in payload(folder):
        if str(path.relative_to(folder)) not in expected:
            raise DamagedError(f"{path}: {MANIFEST} does not name this file")
    verified = {name: _check_file(folder / name, file, known.get(name)) for name, file in expected.items()}
    if verified != known:
        _write_verified(folder, verified)
    return manifest


def read_artifact(folder: Path, under: tuple[str, ...] = ()) -> Artifact:
    """Open the artifact in `folder`, its parents included; `under` are those that it is an ancestor of.

    Raises DamagedError where it or a parent is not what its manifest says: a damaged artifact is never measured.
    """
    manifest = check_artifact(folder)
    parent = None
    if manifest.parent:
        if not (folder.parent / manifest.parent).is_dir() or manifest.parent in (*under, folder.name):
            raise DamagedError(f"{folder}: its parent {manifest.parent} is gone")
        parent = read_artifact(folder.parent / manifest.parent, (*under, folder.name))
        if manifest.parent_content not in (None, parent.content):
            raise DamagedError(f"{folder}: it was made from other bytes than its parent {manifest.parent} has now")
    fields = {name: value for name, value in vars(manifest).items() if name not in ("parent", "parent_content")}
    return Artifact(path=folder, parent=parent, **fields)


def _manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        Look.of(path)
        manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: not a readable artifact ({error})") from None
    if manifest.fingerprint != folder.name or not FINGERPRINT.fullmatch(manifest.parent or folder.name):
        raise DamagedError(f"{path}: the manifest of another artifact, {manifest.fingerprint}")
    return manifest


def _check_file(path: Path, file: File, known: _Verified | None) -> _Verified:
    """Check one file; return what it looks like now. Raises DamagedError."""
    try:
        look = Look.of(path)
        if look.size_bytes != file.size_bytes:
            raise ValueError(f"{look.size_bytes:,} bytes, but {MANIFEST} says {file.size_bytes:,}")
        if known != _Verified(file.sha256, look):
            if read_sha256(path) != file.sha256:
                raise ValueError(f"its content was changed: its sha256 is not that of {MANIFEST}")
            if Look.of(path) != look:
                raise ValueError("it was changed while it was read")
    except FileNotFoundError:
        raise DamagedError(f"{path}: is missing") from None
    except (OSError, ValueError) as error:
        raise DamagedError(f"{path}: {error}") from None
    return _Verified(file.sha256, look)


def _verified(folder: Path) -> dict[str, _Verified]:
    try:
        Look.of(folder / VERIFIED)
        return msgspec.json.decode((folder / VERIFIED).read_bytes(), type=dict[str, _Verified])
    except (OSError, ValueError):
        return {}


def _write_verified(folder: Path, verified: Mapping[str, _Verified]) -> None:
    # A half written one is none. A cache that cannot be written has none: each process computes the checksums once.
    with suppress(OSError):
        handle = os.open(folder / VERIFIED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(verified))
