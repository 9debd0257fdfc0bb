"""What tests of sweeps share: a small sweep as it is typed."""

from __future__ import annotations

from pathlib import Path


def arguments(tiny_model: Path, results: Path, cache: Path, *more: str) -> list[str]:
    few = ["latency.requests=4", "latency.warmup_requests=1", "latency.output_tokens=4", "accuracy.limit=6"]
    places = [f"results_dir={results}", f"cache_dir={cache}"]
    return ["run", "suite=smoke", f"model={tiny_model}", *few, *places, *more]
