"""Say in words why two numbers cannot be compared, and how two artifacts of one name were made differently."""

from __future__ import annotations

from collections.abc import Iterator

from bench.metrics.identity import CARD
from bench.metrics.metric import Metric, Records, difference, identity_of
from bench.records.types import Record

SHOWN_CHANGES = 3


def why_not_comparable(metric: Metric, base: Records, head: Records) -> str:
    """Return the first thing that makes two values those of different things; empty where they can be compared."""
    differing = difference(identity_of(metric, base), identity_of(metric, head))
    if differing.startswith("model: "):
        return model_difference(base, head)
    if differing.startswith(f"{CARD}: "):
        return f"{differing}; device=cuda:N measures both on one"
    return differing or _not_finite(metric, base, head) or _no_direction(metric, base)


def model_difference(base: Records, head: Records) -> str:
    """Name the first of name, id and revision that differs between two models, or their content; empty if none does."""
    contents = [next((record.source for record in records if record.source), None) for records in (base, head)]
    if None in contents or contents[0] == contents[1]:
        return ""
    models = [records[-1].config.model for records in (base, head)]
    for key in ("name", "id", "revision"):
        before, after = (getattr(model, key) for model in models)
        if before != after:
            return f"model {key}: {before} / {after}"
    return f"model content: {str(contents[0])[:12]} / {str(contents[1])[:12]}"


def _not_finite(metric: Metric, base: Records, head: Records) -> str:
    """Count on each side the documents or tokens without a finite number: they leave that side without a mean."""
    counts = [metric.not_finite(records) if metric.not_finite else 0 for records in (base, head)]
    what = "documents" if metric.test == "documents" else "tokens"
    prefix = f"{metric.task} " if metric.task else ""
    return f"{prefix}{what} without a finite number: {counts[0]} / {counts[1]}" if any(counts) else ""


def _no_direction(metric: Metric, base: Records) -> str:
    if metric.better is not None:
        return ""
    return f"{metric.task} {metric.called(base)}, which is better: not stated".strip()


def recipe_difference(base: Records, head: Records) -> str:
    """Say which fields of the steps, or which tools, differ between two artifacts of one name."""
    before, after = (dict(_recipe(records)) for records in (base, head))
    changes = [
        f"{key} {before.get(key, 'none')} → {after.get(key, 'none')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]
    more = f" and {len(changes) - SHOWN_CHANGES} more" if len(changes) > SHOWN_CHANGES else ""
    return "; ".join(changes[:SHOWN_CHANGES]) + more or "the same settings, other data"


def _recipe(records: Records) -> Iterator[tuple[str, object]]:
    record: Record = next((one for one in records if not one.failed), records[-1])
    yield "steps", ", ".join(record.steps)
    for step, fields in record.config.steps.items():
        yield from ((f"{step}.{key}", value) for key, value in fields.items())
    for made in record.lineage:
        yield from ((f"{made.step} {tool}", version) for tool, version in made.tools.items())
