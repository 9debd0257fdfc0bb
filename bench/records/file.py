"""A record's file: its path, how it is written and sealed, and how its bytes become a typed Record."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from bench.files import write_for_good
from bench.records.content import UNSOUND, content_of
from bench.records.types import SCHEMA, Commit, Record

_SEAL = re.compile(rb'\{\n "sha256": "([0-9a-f]{64})",\n')
_DECODER = msgspec.json.Decoder(Record)
MIGRATIONS: Mapping[int, Callable[[Any], Any]] = {}
"""By schema, the function that turns a record's JSON into that of the next schema. Empty: this is the first one."""


class _Head(msgspec.Struct):
    schema: int | None = None
    sha256: str | None = None


def record_path(results: Path, machine_id: str, commit: Commit, sweep: str, variant: str, round_: int) -> Path:
    """Return `<machine>/<commit12>[-dirty-<tree>]/<variant>[~<sweep>].r<round>.json`.

    A sweep that is not the stock one (`sweep` not empty) says so in the name: a variant under other settings is
    another thing and must not stand under the stock name.
    """
    name = f"{variant}~{sweep}" if sweep else variant
    return results / machine_id / commit.label / f"{name}.r{round_}.json"


def write(record: Record, path: Path) -> Path | None:
    """Write a record for good, as `put` does. Raises ValueError for a number that is not finite."""
    return put(text_of(record), path)


def text_of(record: Record) -> str:
    """Return the text of a record's file. Raises ValueError for a number that is not finite: JSON has none."""
    content = msgspec.to_builtins(msgspec.structs.replace(record, measures={}))  # it cannot convert Raw
    content["measures"] = {name: msgspec.json.decode(raw) for name, raw in record.measures.items()}
    return sealed(content)


def put(text: str, path: Path) -> Path | None:
    """Write the text of a record to its place for good.

    A failed record makes room for another one. What has the name and is no sound record is set aside; return its new
    path then.

    Raises FileExistsError where there is an `ok` record: it is never replaced. Raises OSError where there is no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        before = read(path)
        if before and not before.failed:
            raise FileExistsError(errno.EEXIST, "an ok record is there, and is never replaced", str(path))
        aside = _set_aside(path) if before is None and os.path.lexists(path) else None
        write_for_good(path, text, replace=before is not None)
    return aside


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time look at the records of a folder and then write one."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _set_aside(path: Path) -> Path:
    number = 0
    while os.path.lexists(aside := path.with_name(f"{path.name}.unsound{number or ''}")):
        number += 1
    return path.rename(aside)


def read(path: Path) -> Record | None:
    """Read a record, or return None where there is none or it is not sound."""
    try:
        return decode(content_of(path))
    except UNSOUND:
        return None


def sealed(content: Mapping[str, object]) -> str:
    """Return the text of a record: its content with the sha256 of that as the first key."""
    return seal(dumps(content) + "\n")


def seal(text: str) -> str:
    """Return the text of a record with its sha256 as the first key."""
    return text.replace("{\n", f'{{\n "sha256": "{hashlib.sha256(text.encode()).hexdigest()}",\n', 1)


def decode(content: bytes) -> Record:
    """Return the record in the bytes of a file; every number in it is finite.

    Raises ValueError, one line with the path inside the file, where the bytes are not JSON, the schema is unknown, the
    sha256 is absent or does not fit the content, or a key is missing or of the wrong type.
    """
    try:
        return _decoded(content)
    except RecursionError:
        raise ValueError("nested too deeply to be a record") from None


def _decoded(content: bytes) -> Record:
    if b"\r" in content:  # git may have changed the line ends at checkout
        content = content.replace(b"\r\n", b"\n")
    try:
        record, problem = _DECODER.decode(content), ""
    except msgspec.ValidationError as error:
        record, problem = None, str(error)
    except msgspec.DecodeError:
        _explain(content)
    is_sealed = _check_seal(content)
    schema = record.schema if record else msgspec.json.decode(content, type=_Head).schema
    if schema is None:
        raise ValueError("no record: it has no `schema`")
    if schema != SCHEMA:
        record = migrated(schema, content)
    if record is None:
        raise ValueError(problem)
    if not is_sealed:
        raise ValueError("no sha256: it was changed since it was written, or no run of this tool wrote it")
    return record


def migrated(schema: int, content: bytes) -> Record:
    """Bring a record to this version's schema, one step at a time. Raises ValueError where no step leads there."""
    data = msgspec.json.decode(content)
    while schema != SCHEMA:
        if schema not in MIGRATIONS:
            raise ValueError(f"schema {schema!r} is unknown, this version reads {SCHEMA}")
        data = MIGRATIONS[schema](data)
        schema = data["schema"]
    return _DECODER.decode(msgspec.json.encode(data))


def _check_seal(content: bytes) -> bool:
    """Return whether a record has its seal. Raises ValueError for a broken one."""
    seal = _SEAL.match(content)
    if seal is None and msgspec.json.decode(content, type=_Head).sha256 is None:
        return False
    rest = b"{\n" + content[seal.end() :] if seal else b""
    if seal is None or seal[1].decode() != hashlib.sha256(rest).hexdigest():
        raise ValueError("changed since it was written: its content does not fit its sha256")
    return True


def _explain(content: bytes) -> NoReturn:
    """Raise a ValueError that says in words of this tool why bytes are no JSON."""
    try:
        json.loads(content.decode(), parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON, perhaps cut short: {error}") from None
    raise ValueError("not JSON")


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number} is no number")


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def dumps(value: object, indent: int = 0) -> str:
    """Format JSON with one line per key and one line per list, so that records stay small and diff well."""
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    pad = " " * (indent + 1)
    rows = [f"{pad}{json.dumps(str(key))}: {dumps(item, indent + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
