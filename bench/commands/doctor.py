"""`bench doctor`: what this machine has, and what will therefore be skipped or fail."""

from __future__ import annotations

import io
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Literal

from bench.machine.gpu import gpu_names
from bench.machine.hardware import commit, machine, versions
from variants.paths import ROOT, hub_cache, why_not_writable
from variants.process import available_bytes
from variants.steps.gguf import CONVERTER

NEEDED_DISK_BYTES = 2_000_000_000
NEEDED_MEMORY_BYTES = 3_000_000_000
Level = Literal["ok", "note", "bad"]
SIGNS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "bad": ("✗", "red")}


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what is there, and whether the embedded suite can run with it."""

    name: str
    text: str
    level: Level


def doctor() -> int:
    """Print a line per check; return 0 if the embedded suite can run here, else 1."""
    from bench.terminal import say

    ready = True
    looks: list[Callable[[], Check]] = [
        python, compiler, torch_device, llamacpp, bitsandbytes, converter, lm_eval, hub, gpu, disk, memory, checkout,
    ]  # fmt: skip
    for look in looks:
        with silenced():
            check = _checked(look)
        sign, style = SIGNS[check.level]
        say(f" {check.name:<13} {check.text}", lead=sign, lead_style=style, under=" " * 16)
        ready &= check.level != "bad"
    say("the embedded suite can run here" if ready else "the embedded suite cannot run here: see the lines with ✗")
    return 0 if ready else 1


@contextmanager
def silenced() -> Iterator[None]:
    """Let no library print: what it says through Python or straight to the descriptors goes nowhere.

    A look raises what it has to say; a warning beside its line reads like a fault of this machine.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            for number in (1, 2):
                os.dup2(nowhere, number)
            yield
    finally:
        for number, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(nowhere)


def python() -> Check:
    """Look at the interpreter."""
    text = f"{sys.version.split()[0]} in {sys.prefix}"
    return Check("Python", text, "ok" if sys.version_info >= (3, 11) else "bad")


def compiler() -> Check:
    """Look for the C++ compiler that set-up builds llama.cpp with."""
    path = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    return Check("C++ compiler", path or "none: set-up could not build llama.cpp again", "ok" if path else "note")


def torch_device() -> Check:
    """Look at torch and at the device it would use."""
    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    stranded = bool(gpu_names()) and device == "CPU"
    text = f"{torch.__version__}, runs on {device}" + (
        ": it does not see the GPU; only device=cpu runs here" if stranded else ""
    )
    return Check("torch", text, "bad" if stranded else "ok")


def llamacpp() -> Check:
    """Look at the llama.cpp build."""
    import llama_cpp

    offload = bool(llama_cpp.llama_supports_gpu_offload())
    stranded = bool(gpu_names()) and not offload
    text = f"llama-cpp-python {llama_cpp.__version__}, " + ("offloads to the GPU" if offload else "CPU build")
    text += ": `make setup CUDA=1` builds it for the GPU, and until then only device=cpu runs" if stranded else ""
    return Check("llama.cpp", text, "bad" if stranded else "ok")


def bitsandbytes() -> Check:
    """Quantize a small tensor to NF4 and back: a library that loads may still be unable to work."""
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(torch.ones(64, 64), quant_type="nf4")
    works = bool(torch.allclose(dequantize_4bit(packed, state), torch.ones(64, 64)))
    text = f"{versions(['bitsandbytes'])['bitsandbytes']}, NF4 " + ("works" if works else "gives wrong values")
    return Check("bitsandbytes", text, "ok" if works else "bad")


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


def gpu() -> Check:
    """Look for GPUs by their devices."""
    names = gpu_names()
    return Check(
        "GPU",
        ", ".join(names) if names else "none: everything runs on the CPU, GPU memory is not measured",
        "ok" if names else "note",
    )


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


def _checked(look: Callable[[], Check]) -> Check:
    try:
        return look()
    except Exception as error:  # a broken library may raise anything, and whatever it raises is the answer
        return Check(
            look.__name__,
            f"broken: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            "bad",
        )
