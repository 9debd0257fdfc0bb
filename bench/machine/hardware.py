"""What this machine is, what it can do, and which commit of the project it runs."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.machine.git import state
from variants.errors import UserError
from variants.paths import ROOT
from variants.process import usable_cores

PACKAGES = (
    "torch", "transformers", "peft", "bitsandbytes", "lm-eval", "llama-cpp-python", "numpy", "pandas", "hydra-core",
)  # fmt: skip


@cache
def machine() -> dict[str, Any]:
    """Describe the machine; `id` is readable and stable: CPU model, cores, GPUs."""
    cpu = cpu_name()
    cores = usable_cores()
    gpus = gpu_names()
    parts = [cpu, f"{cores}c", *(f"{gpus.count(name)}x {name}" for name in sorted(set(gpus)))]
    return {
        "id": re.sub(r"[^a-z0-9.]+", "-", " ".join(parts).lower()).strip("-"),
        "cpu": cpu,
        "cores": cores,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": list(gpus),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def cpu_name() -> str:
    """Return the CPU's model name without trademark signs and clock rates."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return re.sub(r"\((?:R|TM)\)|\bCPU\b|@.*| \d+-Core Processor| Processor", "", name).strip()


@cache
def gpu_names() -> tuple[str, ...]:
    """List the NVIDIA GPUs by their devices; a compiler such as nvcc proves nothing."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return ()
    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    names = done.stdout.splitlines() if done.returncode == 0 else []
    return tuple(name.strip() for name in names if name.strip())


def resolve_device(asked: str) -> str:
    """Return cpu or cuda. `auto` means cuda where there is a GPU: then everything has to run on it.

    Raises UserError for cuda without a GPU: nothing falls back in silence.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise UserError(f"device: got {asked!r}, allowed: auto, cpu, cuda")
    has_gpu = bool(gpu_names())
    if asked == "cuda" and not has_gpu:
        raise UserError("device=cuda: no NVIDIA GPU on this machine; device=cpu or device=auto runs here")
    return "cuda" if has_gpu and asked != "cpu" else "cpu"


def versions(names: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """Return the installed version of each package, None for one that is not there."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


@cache
def commit() -> dict[str, Any]:
    """Describe the checkout as this process first saw it: commit, whether it is dirty, and a digest of the dirt."""
    return state(ROOT)
