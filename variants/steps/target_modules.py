"""The names of a model's linear modules, without loading a weight: what an adapter's target modules must match."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from variants.configure import nearest
from variants.errors import UserError
from variants.steps.model_checks import stored_tensors, without_weights


def check_targets(names: Iterable[str], folder: Path) -> None:
    """Raise UserError, with the nearest names, for a target that is no linear module of the model in a folder.

    The stored tensors are asked first, and transformers about names that they do not have: a module may be stored under
    another name, or be a copy of one that is.
    """
    if unknown := unmatched(names, stored(folder)):
        modules = linear(without_weights(folder).named_modules())
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


def stored(folder: Path) -> frozenset[str]:
    """Return the modules whose stored weight is a matrix, from the headers of the safetensors files."""
    matrices = (name for _, name, _, shape in stored_tensors(folder) if len(shape) == 2)
    return frozenset(name.removesuffix(".weight") for name in matrices if name.endswith(".weight"))


def linear(modules: Iterable[tuple[str, object]]) -> list[str]:
    """Return the names of the modules that have a matrix of weights; that of a packed one has two dimensions too."""
    return [name for name, module in modules if getattr(getattr(module, "weight", None), "ndim", 0) == 2]
