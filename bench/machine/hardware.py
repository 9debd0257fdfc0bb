"""What this machine is, which device a run uses, and which versions and commit of the project it runs."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.machine.git import State, state
from bench.machine.gpu import chosen_gpus, gpu_names
from variants.paths import ROOT
from variants.process import machine_bytes, usable_cores

PACKAGES = (
    "torch", "transformers", "peft", "bitsandbytes", "lm-eval", "llama-cpp-python", "numpy", "pandas", "hydra-core",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """A machine; `id` is readable and stable: CPU model, cores, GPUs."""

    id: str
    cpu: str
    cores: int
    memory_bytes: int
    gpus: tuple[str, ...]
    os: str
    python: str


@cache
def machine() -> Machine:
    """Return what this machine is."""
    cpu = cpu_name()
    cores = usable_cores()
    gpus = gpu_names()
    parts = [cpu, f"{cores}c", *(f"{gpus.count(name)}x {name}" for name in sorted(set(gpus)))]
    return Machine(
        id=re.sub(r"[^a-z0-9.]+", "-", " ".join(parts).lower()).strip("-"),
        cpu=cpu,
        cores=cores,
        memory_bytes=machine_bytes(),
        gpus=gpus,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def cpu_name() -> str:
    """Return the CPU's model name without trademark signs and clock rates."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return re.sub(r"\((?:R|TM)\)|\bCPU\b|@.*| \d+-Core Processor| Processor", "", name).strip()


def resolve_device(asked: str, split: str = "none") -> str:
    """Return cpu or cuda, whichever card was asked for. `auto` means cuda where there is a GPU that may be used.

    Then everything has to run on it. Raises UserError for a card that is not there, or a split that cannot be: nothing
    falls back in silence.
    """
    return "cuda" if chosen_gpus(asked, split) else "cpu"


def versions(names: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """Return the installed version of each package, None for one that is not there."""
    installed: dict[str, str | None] = {}
    for name in names:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = None
    return installed


@cache
def commit() -> State:
    """Return the state of this checkout as this process first saw it."""
    return state(ROOT)
