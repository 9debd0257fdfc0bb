"""The table as CSV: plain numbers, one line per variant, empty where nothing was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from bench.metrics.divergence import Divergence
from bench.report.tables.overview import LATENCY_NAMES
from bench.stats.estimates import Estimate
from bench.stats.proportions import Share
from bench.summary.rows import Row, all_tasks_of


def comma_separated(rows: Sequence[Row]) -> str:
    """Write the rows; units are in the names, shares run from 0 to 1, ratios are base / variant."""
    tasks = {task: [row.scores[task].metric for row in rows if task in row.scores] for task in all_tasks_of(rows)}
    lines = [_flat(row, tasks) for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(lines[0]) if lines else ["variant"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _flat(row: Row, tasks: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "variant": row.variant,
        "family": row.family.name,
        "runtime": row.runtime,
        "base": row.reference,
        "status": "failed" if row.failed else "partly failed" if row.failures else "ok",
        "size_bytes": row.size_bytes,
        "bits_per_weight": _short(row.bits_per_weight),
        "size_base_over_variant": _short(row.smaller),
        "peak_resident_bytes": row.peak_resident_bytes,
        "peak_device_bytes": row.peak_device_bytes,
    }
    for name in LATENCY_NAMES:
        found = row.latency.get(name)
        flat[f"{name}_n"] = found.n if found else None
        for share in ("p50", "p90", "p99"):
            flat |= _ends(f"{name}_{share}", getattr(found, share, None))
        for share in ("p50", "p99"):
            flat |= _ends(f"{name}_{share}_base_over_variant", getattr(found, f"faster_{share}", None))
    for task, metrics in tasks.items():
        flat |= _accuracy(row, task) if not metrics else _score(row, task, metrics[0])
    flat |= _divergence(row.divergence)
    flat["error"] = "; ".join(f"round {f.round}: {f.stage}: {f.message}" for f in row.failures)
    flat["warnings"] = "; ".join(row.warnings)
    return flat


def _accuracy(row: Row, task: str) -> dict[str, Any]:
    answers = row.accuracy.get(task)
    pair = answers.against if answers else None
    flat: dict[str, Any] = {f"{task}_n": answers.n if answers else None}
    flat |= _ends(f"{task}_accuracy", answers.share if answers else None)
    flat |= _ends(f"{task}_accuracy_macro", answers.macro if answers else None)
    flat[f"{task}_guessing"] = answers.standing if answers else None
    flat[f"{task}_truncated"] = answers.answers.get("truncated") if answers else None
    for key in ("difference", "low", "high", "gained", "lost", "p", "detectable"):
        name = f"{task}_difference" if key == "difference" else f"{task}_difference_{key}"
        flat[name] = _short(getattr(pair, key, None))
    flat[f"{task}_difference_p_holm"] = _short(answers.p_holm if answers else None)
    return flat


def _score(row: Row, task: str, metric: str) -> dict[str, Any]:
    score = row.scores.get(task)
    return {f"{task}_n": score.n if score else None, **_ends(f"{task}_{metric}", score.found if score else None)}


def _divergence(found: Divergence | None) -> dict[str, Any]:
    flat = _ends("kl_mean_nats", found.kl_mean if found else None)
    flat["kl_p99_nats"] = _short(found.kl_p99 if found else None)
    flat["kl_rounding_floor_nats"] = _short(found.rounding_floor if found else None)
    flat |= _ends("same_top_share", found.same_top if found else None)
    flat |= _ends("perplexity", found.perplexity if found else None)
    return flat | {"divergence_tokens": found.tokens if found else None}


def _ends(name: str, found: Estimate | Share | None) -> dict[str, Any]:
    values = (found.value, found.low, found.high) if found else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), map(_short, values), strict=True))


def _short(value: float | None) -> float | None:
    return float(f"{value:.6g}") if isinstance(value, float) else value
