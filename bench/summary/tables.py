"""The tidy tables of a folder of records."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.metrics import answers as answered
from bench.metrics.divergence import Divergence, divergence
from bench.records.schema import LATENCIES
from bench.stats import estimates, proportions

if TYPE_CHECKING:
    import pandas as pd
from bench.records.store import Record, read

COLUMNS = [
    *("machine", "commit", "dirty", "tree", "sweep", "model", "suite", "variant", "round", "runtime", "started_at"),
    *("status", "error", "metric", "task", "value", "unit", "n", "low", "high"),
]


def _measured(record: Record) -> Iterator[dict[str, Any]]:
    measures = record.measures
    for name, unit in (("build", "s"), ("measure", "s")):
        if (value := (record.data.get("seconds") or {}).get(name)) is not None:
            yield {"metric": f"{name}_seconds", "value": value, "unit": unit}
    size = measures.get("size", {})
    for name, unit in (("size_bytes", "byte"), ("n_parameters", "1"), ("bits_per_weight", "bit")):
        if size.get(name) is not None:
            yield {"metric": name, "value": size[name], "unit": unit}
    for name, value in measures.get("memory", {}).items():
        if value is not None:
            yield {"metric": name, "value": value, "unit": "byte"}
    for name in LATENCIES:
        values = measures.get("latency", {}).get(name) or []
        for point in (0.5, 0.9, 0.99) if values else ():
            found = estimates.percentile_estimate(values, point)
            yield {"metric": f"{name.removesuffix('_ms')}_p{point * 100:.0f}_ms", "unit": "ms", **vars(found)}
    for task, answers in measures.get("accuracy", {}).items():
        yield from ({"task": task, **row} for row in _answered(answers))
    if diverged := divergence(measures.get("divergence", {})):
        yield from _diverged(diverged)


def _answered(answers: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not answered.marked(answers):
        found = answered.score(answers)
        unit = "bit" if answers["metric"] == "bits_per_byte" else "1"
        yield {"metric": answers["metric"], "unit": unit, **(vars(found) if found else {"n": len(answers["value"])})}
        return
    counts = list(answered.subjects_of(answers).values())
    hits, n = (sum(column) for column in zip(*counts, strict=True))
    yield {"metric": "accuracy", "unit": "share", **vars(proportions.wilson(hits, n))}
    if len(counts) > 1:
        yield {"metric": "accuracy_macro", "unit": "share", **vars(proportions.macro_average(counts))}


def _diverged(found: Divergence) -> Iterator[dict[str, Any]]:
    yield {"metric": "kl_mean", "unit": "nat", **vars(found.kl_mean)}
    yield {"metric": "kl_p99", "unit": "nat", "value": found.kl_p99, "n": found.tokens}
    yield {"metric": "same_top_share", "unit": "share", **vars(found.same_top)}
    yield {"metric": "perplexity", "unit": "1", **vars(found.perplexity)}


def load(path: Path | str = "results") -> pd.DataFrame:
    """Return all records under a folder as one tidy table, one row per cell and metric.

    `value` is in `unit`; `low` and `high` are the ends of a 95 % interval over the `n` samples of this one
    cell, missing where n is too small or the value is not a sample's. Latencies are service times of a
    closed loop. `accuracy_macro` is the mean over subjects. Divergences are from the base of the same runtime;
    their `n` counts windows of text, the clusters of the interval (tokens for `kl_p99`). A failed cell has a row
    without a metric that carries its `error`. Files that cannot be read are named in a warning and left out.
    """
    import pandas as pd

    records, left_out = read(path)
    for line in left_out:
        warnings.warn(f"left out: {line}", stacklevel=2)
    rows = []
    for record in records:
        config = record.data["config"]
        identity = {
            "machine": record.machine,
            "commit": record.sha,
            "dirty": record.dirty,
            "tree": record.data["commit"].get("tree"),
            "sweep": record.sweep,
            "model": (config.get("model") or {}).get("name"),
            "suite": config.get("suite"),
            "variant": record.variant,
            "round": record.round,
            "runtime": record.runtime,
            "started_at": record.started_at,
            "status": record.data["status"],
            "error": (record.data["error"] or {}).get("message"),
        }
        found = list(_measured(record))
        rows += [{**identity, **row} for row in ([*found, {}] if record.failed or not found else found)]
    return pd.DataFrame(rows, columns=COLUMNS)
