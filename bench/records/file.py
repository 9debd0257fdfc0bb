"""A record: one immutable JSON file per cell (variant and round) of a sweep; `results/README.md` describes it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import orjson

from bench.files import write_at_once
from bench.records.types import Commit, Record

SCHEMA = 1
_SEAL = re.compile(rb'\{\n "sha256": "[0-9a-f]{64}",\n')


def state_label(commit: Mapping[str, Any] | Commit) -> str:
    """Return `<commit12>`, or `<commit12>-dirty-<tree>`: two uncommitted states of one commit are kept apart."""
    if isinstance(commit, Commit):
        return commit.label
    return (commit["sha"] or "no-commit")[:12] + (f"-dirty-{commit['tree']}" if commit["dirty"] else "")


def record_path(
    results: Path, machine_id: str, commit: Mapping[str, Any] | Commit, sweep: str, variant: str, round_: int
) -> Path:
    """Return `<machine>/<commit12>[-dirty-<tree>]/<variant>[~<sweep>].r<round>.json`.

    A sweep that is not the stock one (`sweep` not empty) says so in the name: a variant under other settings is
    another thing and must not stand under the stock name.
    """
    name = f"{variant}~{sweep}" if sweep else variant
    return results / machine_id / state_label(commit) / f"{name}.r{round_}.json"


def write(record: Mapping[str, Any] | Record, path: Path) -> None:
    """Write a record at once; its first key is the sha256 of the rest, so that a later change of it shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = record if isinstance(record, Mapping) else json.loads(msgspec.json.encode(record))
    write_at_once(path, sealed(dumps(content) + "\n"))


def read(path: Path) -> Record | None:
    """Read a record, or return None where there is none or it is not whole and of this schema."""
    try:
        content = decode(path.read_bytes())
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, ValueError):
        return None
    return record if isinstance(content, dict) and record.schema == SCHEMA else None


def sealed(text: str) -> str:
    """Return the text of a record with its sha256 as the first key."""
    return text.replace("{\n", f'{{\n "sha256": "{hashlib.sha256(text.encode()).hexdigest()}",\n', 1)


def decode(content: bytes) -> Any:
    """Parse the bytes of a record; every number in it is finite.

    Raises ValueError for NaN, Infinity, a number as large as 1e999, or content that its sha256 does not fit.

    Records of before the sha256 have none, and there is nothing to hold them against.
    """
    if b"\r" in content:  # git may have checked it out so
        content = content.replace(b"\r\n", b"\n")
    try:
        record = orjson.loads(content)
    except orjson.JSONDecodeError:
        record = _decode_slowly(content)
    if isinstance(record, dict) and "sha256" in record:
        seal = _SEAL.match(content)
        sealed_content = b"{\n" + content[seal.end() :] if seal else b""
        if record["sha256"] != hashlib.sha256(sealed_content).hexdigest():
            raise ValueError("changed since it was written: its content does not fit its sha256")
    return record


def _decode_slowly(content: bytes) -> Any:
    """Parse what orjson refuses as the standard library does, which says what is wrong in words of this tool."""
    try:
        return json.loads(content.decode(), parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON, perhaps cut short: {error}") from None


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number} is no number")


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def dumps(value: Any, indent: int = 0) -> str:
    """Format JSON with one line per key and one line per list, so that records stay small and diff well."""
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    pad = " " * (indent + 1)
    rows = [f"{pad}{json.dumps(str(key))}: {dumps(item, indent + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
