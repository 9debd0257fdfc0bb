"""What `bench doctor` looks at in its own process: the machine, the checkout, and packages by their version alone."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bench.bootstrap import cxx
from bench.commands.doctor.check import Check
from bench.machine.hardware import commit, machine, versions
from variants.paths import ROOT, hub_cache, why_not_writable
from variants.process import available_bytes
from variants.steps.gguf import CONVERTER

NEEDED_DISK_BYTES = 2_000_000_000
NEEDED_MEMORY_BYTES = 3_000_000_000
LARGE_PACKAGES = ("torch", "transformers", "lm_eval")


def python() -> Check:
    """Look at the interpreter, and whether each of a sweep's many processes compiles the packages anew."""
    text = f"{sys.version.split()[0]} in {sys.prefix}"
    if anew := _compiled_anew():
        folders = sorted({*map(str, anew.values())})
        once = shlex.join([sys.executable, "-m", "compileall", "-q", *folders])
        cure = f"`{once}` takes minutes once, and saves each seconds"
        if not all(os.access(folder, os.W_OK) for folder in folders):
            cure = "set PYTHONPYCACHEPREFIX to a folder that can be written, and unset PYTHONDONTWRITEBYTECODE"
        text += f"; every process compiles {', '.join(anew)} anew: {cure}"
    return Check("Python", text, "bad" if sys.version_info < (3, 11) else "note" if anew else "ok")


def _compiled_anew() -> dict[str, Path]:
    """Return the packages of which no bytecode is kept and none will be, by name, with the folder that they lie in."""
    anew = {}
    for name in LARGE_PACKAGES:
        spec = find_spec(name)
        if spec and spec.origin and spec.cached and not Path(spec.cached).exists():
            kept_in = next(folder for folder in Path(spec.cached).parents if folder.exists())
            if sys.dont_write_bytecode or not os.access(kept_in, os.W_OK):
                anew[name] = Path(spec.origin).parents[1]
    return anew


def compiler() -> Check:
    """Look for the C++ compiler that set-up builds llama.cpp with."""
    name = cxx()[0]
    path = shutil.which(name)
    missing = f"no command {name}: set-up could not build llama.cpp again; install it, or set CXX to one that is here"
    return Check("C++ compiler", path or missing, "ok" if path else "note")


def converter() -> Check:
    """Look for the HF-to-GGUF converter."""
    there = CONVERTER.is_file()
    return Check("converter", CONVERTER.name if there else "missing: run `make setup`", "ok" if there else "bad")


def lm_eval() -> Check:
    """Look at lm-eval."""
    version = versions(["lm-eval"])["lm-eval"]
    return Check("lm-eval", version or "missing: run `make setup`", "ok" if version else "bad")


def hub() -> Check:
    """Look at the folder that Hugging Face's libraries write to: even tasks of this project are prepared there."""
    folder = hub_cache()
    why = why_not_writable(folder)
    text = f"{folder} cannot be written ({why}): set HF_HOME to a folder that can" if why else f"{folder} (HF_HOME)"
    return Check("hub cache", text, "bad" if why else "ok")


def disk() -> Check:
    """Look at the free disk below the project."""
    free = shutil.disk_usage(ROOT).free
    return Check("free disk", f"{free / 1e9:.1f} GB", "ok" if free >= NEEDED_DISK_BYTES else "bad")


def memory() -> Check:
    """Look at the memory that processes can still get."""
    available = available_bytes()
    text = f"{available / 1e9:.1f} GB available, {machine().cores} cores"
    return Check("memory", text, "ok" if available >= NEEDED_MEMORY_BYTES else "bad")


def checkout() -> Check:
    """Look at the commit that results will be kept under."""
    now = commit()
    if not now.sha:
        return Check("git", "no commit: results are kept under no-commit and cannot be compared", "note")
    state = "dirty: results are kept apart, under -dirty" if now.dirty else "clean"
    return Check("git", f"{now.sha[:12]} {state}", "note" if now.dirty else "ok")


LOOKS: tuple[Callable[[], Check], ...] = (python, compiler, converter, lm_eval, hub, disk, memory, checkout)
