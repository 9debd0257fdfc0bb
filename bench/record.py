"""A record: one immutable JSON file per cell (variant and round) of a sweep, schema 1."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = 1


def record_path(
    results: Path, machine_id: str, commit: Mapping[str, Any], sweep: str, variant: str, round_: int
) -> Path:
    """Return `<machine>/<commit12>[-dirty]/<variant>.r<round>.json`.

    A sweep that is not the stock one (`sweep` not empty) says so in the name: a variant under other settings is
    another thing and must not stand under the stock name.
    """
    folder = (commit["sha"] or "no-commit")[:12] + ("-dirty" if commit["dirty"] else "")
    name = f"{variant}~{sweep}" if sweep else variant
    return results / machine_id / folder / f"{name}.r{round_}.json"


def write(record: Mapping[str, Any], path: Path) -> None:
    """Write a record under a temporary name and rename it: a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(dumps(record) + "\n")
    temporary.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """Read a record, or return None where there is none or it does not parse as this schema."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("schema") == SCHEMA else None


def dumps(value: Any, indent: int = 0) -> str:
    """Format JSON with one line per key and one line per list, so that records stay small and diff well."""
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    pad = " " * (indent + 1)
    rows = [f"{pad}{json.dumps(str(key))}: {dumps(item, indent + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
