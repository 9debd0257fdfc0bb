"""The strict reading of one record file: its schema, its content, and whether it lies where it belongs.

What each key means stands in `results/README.md`. Whatever is wrong is a ValueError that says it in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from bench.records.file import SCHEMA, decode, state_label

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
    asked = measures.get("accuracy", {})
    tables = [(f"accuracy {task}", answers, columns_of(answers)) for task, answers in asked.items()]
    if "latency" in measures:
        tables.append(("latency", measures["latency"], LATENCIES))
    if "divergence" in measures:
        tables.append(("divergence", measures["divergence"], COLUMNS))
    for name, table, wanted in tables:
        lengths = {len(table[column]) for column in wanted}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"{name}: columns of lengths {sorted(lengths)}, they must be alike and not empty")
    for column in LATENCIES if "latency" in measures else ():
        if not _are_numbers(measures["latency"][column]) or min(measures["latency"][column]) <= 0:
            raise ValueError(f"latency {column}: a value is no time in milliseconds above 0")
    for task, answers in asked.items():
        _check_answers(task, answers)
    if "divergence" in measures:
        _check_divergence(measures["divergence"])


def _check_answers(task: str, answers: Answers) -> None:
    """Answers are numbers; null is a log-likelihood or a value that was no finite number when it was scored."""
    sound = _are_numbers(chain(answers.get("gold", ()), answers.get("picked", ())))
    scored = chain.from_iterable(value if isinstance(value, list) else [value] for value in answers.get("value", ()))
    given = chain(scored, chain.from_iterable(answers.get("loglik", ())))
    if not sound or not _are_numbers(given, or_null=True):
        raise ValueError(f"accuracy {task}: an answer is no number")


def _check_divergence(found: Mapping[str, Any]) -> None:
    for key in ("base", "base_variant", "text"):
        if not isinstance(found[key], str):
            raise ValueError(f"divergence {key}: {found[key]!r} is no text")
    if not _are_numbers([found["window"]]) or found["window"] < 1:
        raise ValueError(f"divergence window: {found['window']!r} is no number of tokens above 0")
    values = chain(found["kl"], found["nll"], found["base_nll"])  # null where one was no finite number
    if not _are_numbers(values, or_null=True) or set(found["same_top"]) - {"0", "1"}:
        raise ValueError("divergence: a value of a token is no number, or its same_top neither 0 nor 1")


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


def _are_numbers(values: Iterable[Any], or_null: bool = False) -> bool:
    # By type and not isinstance, which would let a bool pass.
    return set(map(type, values)) <= {int, float, *((type(None),) if or_null else ())}


Answers = Mapping[str, Any]
"""One task of a record's `measures.accuracy`: multiple choice, or with a `metric` and a `value` per document."""


def columns_of(answers: Answers) -> tuple[str, ...]:
    """Return the columns that have an entry per question; raise ValueError for values of more than one kind."""
    if "value" not in answers:
        return "question", "subject", "gold", "picked", "loglik"
    sizes = {len(value) if isinstance(value, list) else 0 for value in answers["value"] if value is not None}
    if not sizes <= {0} and sizes != {2}:
        raise ValueError("`value` is neither all numbers nor all pairs of a log-likelihood and its weight")
    _ = answers["metric"]
    return "question", "subject", "value", *(("answer",) if answers.get("answer") is not None else ())


COLUMNS = ("kl", "same_top", "nll", "base_nll")
"""One entry per token; `same_top` is a text of 0 and 1."""
