"""Records as a sweep writes them, made up from a seed, for tests of what reads records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.records.file import record_path, sealed
from bench.records.types import Commit
from bench.selftest import raw_values

SESSION = {
    "device": "cpu",
    "device_name": "Test CPU",
    "dtype": "f32",
    "gpu_layers": 0,
    "layers": 4,
    "threads": 2,
    "n_ctx": 512,
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MACHINE = "test-cpu-2c"
TARGETS = {
    "source": "variants.steps.source.Source",
    "gguf": "variants.steps.gguf.Gguf",
    "lora": "variants.steps.lora.Lora",
    "merge": "variants.steps.merge.Merge",
    "nf4": "variants.steps.nf4.Nf4",
}
KINDS = {"source": "hf", "gguf": "gguf", "lora": "adapter", "merge": "hf", "nf4": "nf4"}
TUNED = ("source", "lora", "merge", "gguf")
# steps, runtime, size in bytes, median TPOT in ms, share right on general and on hr
VARIANTS: dict[str, tuple[tuple[str, ...], str, int, float, float, float]] = {
    "base": (("source", "gguf"), "llamacpp", 6_900_000, 1.30, 0.93, 0.31),
    "q8": (("source", "gguf", "q8"), "llamacpp", 3_700_000, 0.95, 0.93, 0.31),
    "q5": (("source", "gguf", "q5"), "llamacpp", 2_600_000, 0.90, 0.92, 0.30),
    "q4": (("source", "gguf", "q4"), "llamacpp", 2_300_000, 0.84, 0.90, 0.30),
    "q2": (("source", "gguf", "q2"), "llamacpp", 1_700_000, 0.80, 0.62, 0.28),
    "finetuned": (TUNED, "llamacpp", 6_900_000, 1.31, 0.88, 0.93),
    "finetuned-q8": ((*TUNED, "q8"), "llamacpp", 3_700_000, 0.96, 0.88, 0.93),
    "finetuned-q5": ((*TUNED, "q5"), "llamacpp", 2_600_000, 0.90, 0.87, 0.92),
    "finetuned-q4": ((*TUNED, "q4"), "llamacpp", 2_300_000, 0.85, 0.86, 0.91),
    "finetuned-q2": ((*TUNED, "q2"), "llamacpp", 1_700_000, 0.80, 0.55, 0.66),
    "qlora-q4": (("source", "nf4", "lora", "merge", "gguf", "q4"), "llamacpp", 2_300_000, 0.85, 0.84, 0.86),
    "qlora": (("source", "nf4", "lora"), "transformers", 3_400_000, 9.8, 0.85, 0.87),
    "base-torch": (("source",), "transformers", 6_900_000, 4.1, 0.93, 0.31),
    "finetuned-torch": (("source", "lora", "merge"), "transformers", 6_900_000, 4.2, 0.88, 0.93),
    "nf4": (("source", "nf4"), "transformers", 2_900_000, 9.1, 0.91, 0.30),
}


def write_sweep(
    results: Path,
    variants: Mapping[str, tuple[tuple[str, ...], str, int, float, float, float]] = VARIANTS,
    rounds: int = 3,
    requests: int = 140,
    seed: int = 7,
    **changes: Any,
) -> list[Path]:
    """Write the records of a whole sweep; `changes` replace top-level keys of every record."""
    return [
        write(results, {**record(name, number, requests=requests, seed=seed, spec=spec), **changes})
        for number in range(rounds)
        for name, spec in variants.items()
    ]


def write(results: Path, content: Mapping[str, Any]) -> Path:
    """Write one record where a sweep would."""
    commit = msgspec.convert(content["commit"], Commit)
    path = record_path(results, content["machine"]["id"], commit, "", content["variant"], content["round"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sealed(content), encoding="utf-8")
    return path


def record(
    name: str,
    number: int = 0,
    requests: int = 140,
    seed: int = 7,
    spec: tuple[tuple[str, ...], str, int, float, float, float] | None = None,
) -> dict[str, Any]:
    """Make one record of schema 1; the same model gives the same answers in either runtime."""
    steps, runtime, size, tpot, *shares = spec or VARIANTS[name]
    place = list(VARIANTS).index(name) if name in VARIANTS else 99
    rng = np.random.default_rng([seed, number, place])
    measures = {
        "size": {
            "size_bytes": size,
            "n_parameters": 3_400_000,
            "bits_per_weight": 8 * size / 3_400_000,
            "tensor_types": {"F16": 30, "F32": 9},
        },
        "latency": raw_values.latency(rng, tpot, requests),
        "memory": {"peak_resident_bytes": 60_000_000 + 2 * size, "peak_device_bytes": None},
    }
    if number == 0:
        model = [step for step in steps if step != "gguf"]
        measures["accuracy"] = {
            task: raw_values.answers(task, share, model, seed)
            for task, share in zip(raw_values.QUESTIONS, shares, strict=True)
        }
    return {
        "schema": 1,
        "variant": name,
        "round": number,
        "status": "ok",
        "cell": f"{place:02d}{number}" * 16,
        "sweep": "embedded-reference",
        "started_at": f"2026-11-23T20:{10 + number * 5:02d}:{place % 60:02d}+00:00",
        "seconds": {"build": 1.5, "measure": 8.0},
        "commit": {"sha": COMMIT, "dirty": False, "tree": "clean"},
        "machine": machine(),
        "versions": {"torch": "2.13.0+cpu", "transformers": "5.0.0", "llama-cpp-python": "0.3.36"},
        "config": config(name, steps, runtime, requests),
        "lineage": [lineage(steps[: place + 1], size) for place in range(len(steps))],
        "artifact": {"fingerprint": "/".join(steps), "kind": KINDS.get(steps[-1], "gguf")},
        "session": {**SESSION, "runtime": runtime},
        "measures": measures,
        "canary": {when: canary(rng) for when in ("before", "after")},
        "warnings": [],
        "error": None,
    }  # fmt: skip


def config(name: str, steps: Sequence[str], runtime: str, requests: int) -> dict[str, Any]:
    """Make the configuration of a cell of the embedded suite."""
    return {
        "model": {"name": "reference"},
        "variant": {"name": name, "steps": list(steps), "runtime": runtime},
        "steps": {step: {"_target_": TARGETS.get(step, "variants.steps.quantize.Quantize")} for step in steps},
        "runtime": {"name": runtime},
        "measures": {"latency": {"requests": requests}, "accuracy": {}},
        "suite": "embedded",
        "device": {"asked": "auto", "used": "cpu"},
    }


def machine() -> dict[str, Any]:
    """Describe the machine that all records are from."""
    return {
        "id": MACHINE,
        "cpu": "Test CPU",
        "cores": 2,
        "memory_bytes": 8_000_000_000,
        "gpus": [],
        "os": "Linux 6.1",
        "python": "3.11.7",
    }


def canary(rng: np.random.Generator) -> dict[str, float]:
    """Make a reading of a quiet machine."""
    return {"copy_gb_s": 9.0 + rng.normal(0, 0.1), "matmul_gflops": 80.0}


def lineage(steps: Sequence[str], size: int) -> dict[str, Any]:
    """Make the entry of the last of the steps so far."""
    step = steps[-1]
    return {
        "step": step,
        "kind": KINDS.get(step, "gguf"),
        "fingerprint": "/".join(steps),
        "size_bytes": size,
        "build_seconds": 70.0 if step == "lora" else 1.0,
        "build_peak_bytes": 700_000_000,
        "notes": {},
        "warnings": [],
    }


def failed(name: str, number: int = 0, step: str = "lora") -> dict[str, Any]:
    """Make the record of a cell whose build ended in an error."""
    return {
        **record(name, number),
        "status": "failed",
        "lineage": [],
        "artifact": None,
        "session": None,
        "measures": {},
        "canary": None,
        "error": {
            "stage": "build",
            "step": step,
            "type": "MemoryError",
            "message": "out of memory after 3 of 100 steps <killed> | signal 9",
            "traceback": "Traceback (most recent call last): …",
            "log": ".cache/logs/cell.log",
            "reproduce": f"python -m bench.sweep.worker build .cache/cells/{name}.json",
        },
    }
