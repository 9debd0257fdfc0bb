"""The strict reading of one record file: its schema, its content, and whether it lies where it belongs.

What each key means stands in `results/README.md`. Whatever is wrong is a ValueError that says it in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from bench.record import SCHEMA, decode, state_label

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""What turns a record of an older schema into one of the next. None yet: this is the first schema."""
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "variant": str,
    "round": int,
    "status": str,
    "started_at": str,
    "commit": dict,
    "machine": dict,
    "config": dict,
    "lineage": list,
    "artifact": (dict, type(None)),
    "measures": dict,
    "warnings": list,
    "error": (dict, type(None)),
}
LATENCIES = ("ttft_ms", "tpot_ms", "e2e_ms")
ANSWERS = ("question", "subject", "gold", "picked", "loglik")


def parse(path: Path) -> dict[str, Any]:
    """Read one record file as this version's schema. Raises OSError, or ValueError for what is no sound record."""
    data = decode(path.read_bytes())
    if not isinstance(data, dict) or "schema" not in data:
        raise ValueError("no record: it has no `schema`")
    data = migrated(data)
    for key, kind in REQUIRED.items():
        if key not in data or not isinstance(data[key], kind):
            raise ValueError(f"`{key}` is missing or of the wrong type")
    if data["status"] not in ("ok", "failed"):
        raise ValueError(f"status {data['status']!r} is neither ok nor failed")
    try:
        _check_place(path, data)
        _check_artifact(data)
        _check_columns(data["measures"])
        _check_values(data)
        _ = data["config"]["variant"]["runtime"], list(data["config"]["variant"]["steps"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"incomplete: {error!r}") from error
    return data


def migrated(data: dict[str, Any]) -> dict[str, Any]:
    """Bring a record to this version's schema, one step at a time. Raises ValueError where no step leads there."""
    while (schema := data["schema"]) != SCHEMA:
        if schema not in MIGRATIONS:
            raise ValueError(f"schema {schema!r} is unknown, this version reads {SCHEMA}")
        data = MIGRATIONS[schema](data)
    return data


def _check_place(path: Path, data: Mapping[str, Any]) -> None:
    """Hold the path against the content: a file that was moved or copied would be counted as another's."""
    variant, sweep, commit = data["variant"], data.get("sweep"), data["commit"]
    label = state_label(commit)
    old = label.partition("-dirty")[0] + "-dirty"  # how dirty states were kept before each had a folder of its own
    name, _, round_ = path.name.removesuffix(".json").rpartition(".r")
    places = (
        ("machine", str(data["machine"]["id"]), path.parent.parent.name, ()),
        ("commit", label, path.parent.name, (old,) if commit["dirty"] else ()),
        ("variant", variant, name, (f"{variant}~{sweep}",)),
        ("round", str(data["round"]), round_, ()),
    )
    for what, said, found, allowed in places:
        if found not in (said, *allowed):
            raise ValueError(f"{what}: the record says {said}, its path {found}: a file from elsewhere")


def _check_artifact(data: Mapping[str, Any]) -> None:
    """What was measured must be the last thing that was built."""
    lineage, artifact = data["lineage"], data["artifact"]
    measured = artifact["fingerprint"] if artifact else None
    built = lineage[-1]["fingerprint"] if lineage else None
    if measured != built:
        raise ValueError(
            f"artifact: its fingerprint is {str(measured)[:12]}, the last of its lineage {str(built)[:12]}"
        )
    if data["status"] == "ok" and built is None:
        raise ValueError("incomplete: its status is ok, and it names no artifact")


def _check_columns(measures: Mapping[str, Any]) -> None:
    tables: list[tuple[str, Any, tuple[str, ...]]]
    tables = [(f"accuracy {task}", answers, ANSWERS) for task, answers in measures.get("accuracy", {}).items()]
    if "latency" in measures:
        tables.append(("latency", measures["latency"], LATENCIES))
    for name, table, wanted in tables:
        lengths = {len(table[column]) for column in wanted}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"{name}: columns of lengths {sorted(lengths)}, they must be alike and not empty")
    for column in LATENCIES if "latency" in measures else ():
        if not _are_numbers(measures["latency"][column]) or min(measures["latency"][column]) <= 0:
            raise ValueError(f"latency {column}: a value is no time in milliseconds above 0")
    for task, answers in measures.get("accuracy", {}).items():
        if not _are_numbers(chain(answers["gold"], answers["picked"], chain.from_iterable(answers["loglik"]))):
            raise ValueError(f"accuracy {task}: an answer is no number")


def _check_values(data: Mapping[str, Any]) -> None:
    """What is one number must be one; null is what was not measured."""
    size, memory = (data["measures"].get(name, {}) for name in ("size", "memory"))
    values = {f"size {name}": size.get(name) for name in ("size_bytes", "n_parameters", "bits_per_weight")}
    values |= {f"memory {name}": value for name, value in memory.items()}
    for when, reading in (data.get("canary") or {}).items():
        values |= {f"canary {when} {name}": value for name, value in (reading or {}).items()}
    for name, value in values.items():
        if value is not None and not (_are_numbers([value]) and value > 0):
            raise ValueError(f"{name}: {value!r} is no number above 0")


def _are_numbers(values: Iterable[Any]) -> bool:
    return set(map(type, values)) <= {int, float}  # and no bool, which isinstance would let pass
