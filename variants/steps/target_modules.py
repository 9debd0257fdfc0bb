"""The names of a model's linear modules, without loading a weight: what an adapter's target modules must match."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from variants.child import start
from variants.configure import nearest
from variants.errors import UserError
from variants.paths import ROOT
from variants.weights import weight_files

ASK_TRANSFORMERS = "import sys; from variants.steps.target_modules import of_architecture; of_architecture(sys.argv[1])"
"""What a child runs: torch is never imported beside llama.cpp (bench/scoring/lm_eval_process.py says why)."""


def check_targets(names: Iterable[str], folder: Path) -> None:
    """Raise UserError, with the nearest names, for a target that is no linear module of the model in a folder.

    The stored tensors are asked first. A child asks transformers about names that they do not have: a module may be
    stored under another name, or be a copy of one that is.
    """
    modules = stored(folder)
    unknown = unmatched(names, modules)
    if unknown:
        modules = built(folder) or modules
    refuse(unmatched(unknown, modules), modules)


def refuse(unknown: Iterable[str], modules: Iterable[str]) -> None:
    """Raise UserError for the first target that matched no module, naming the nearest that do."""
    for name in unknown:
        last = {module.rpartition(".")[2] for module in modules}
        raise UserError(f"target_modules: no linear module of this model is called {name!r}; {nearest(name, last)}")


def unmatched(names: Iterable[str], modules: Iterable[str]) -> list[str]:
    """Return the names that match no module; as in peft, one matches by its whole name or by what follows a dot."""
    ends = tuple(f".{module}" for module in modules)
    return [name for name in names if not any(end.endswith(f".{name}") for end in ends)]


@cache
def stored(folder: Path) -> frozenset[str]:
    """Return the modules whose stored weight is a matrix, from the headers of the safetensors files."""
    from safetensors import safe_open

    found: set[str] = set()
    for path in weight_files(folder):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                if name.endswith(".weight") and len(file.get_slice(name).get_shape()) == 2:
                    found.add(name.removesuffix(".weight"))
    return frozenset(found)


@cache
def built(folder: Path) -> frozenset[str]:
    """Return the same of the model that transformers makes of the folder's config.json; empty where it makes none."""
    command = [sys.executable, "-c", ASK_TRANSFORMERS, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **start(offline=True))
    lines = done.stdout.splitlines()
    return frozenset(json.loads(lines[-1])) if done.returncode == 0 and lines else frozenset()


def of_architecture(folder: str) -> None:
    """Print, as JSON, the names of the modules with a matrix of weights in a model that has no memory for them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    print(json.dumps(linear(model.named_modules())))


def linear(modules: Iterable[tuple[str, object]]) -> list[str]:
    """Return the names of the modules that have a matrix of weights; that of a packed one has two dimensions too."""
    return [name for name, module in modules if getattr(getattr(module, "weight", None), "ndim", 0) == 2]
