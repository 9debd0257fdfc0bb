"""Step `source`: the model that every variant starts from, checked before anything is built on it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.model_folder import left_out, model_files
from variants.paths import resolve
from variants.safety.files import copy, in_hub_store, read_json, regular_file
from variants.step import CONTENT, Role
from variants.steps.model_checks import refuse_infinite, refuse_misfit, refuse_quantized

WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Source:
    """Take a model folder in transformers layout with safetensors weights."""

    path: str = field(metadata=CONTENT)

    role: ClassVar[Role] = "source"
    takes: ClassVar[tuple[Kind | None, ...]] = (None,)
    gives: ClassVar[Kind] = "hf"
    tools: ClassVar[tuple[str, ...]] = ()
    on_device: ClassVar[bool] = False
    revision: ClassVar[int] = 0
    expected_cost: ClassVar[float] = 0.3

    def __post_init__(self) -> None:
        model_files(resolve(self.path))

    def check(self, model: Path, device: str) -> None:
        """Raise UserError for weights that are quantized already, not those of the architecture, or not finite."""
        refuse_quantized(model)
        refuse_misfit(model)
        refuse_infinite(model)

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Copy the model's files into `out`: a link would let a later change of the folder reach into the cache.

        Weights in the hub's store are linked: it is addressed by content, and none of its files is changed.
        """
        folder = resolve(self.path)
        files = model_files(folder)
        for file in files:
            if not (file.suffix == WEIGHTS and in_hub_store(file) and _linked(file.resolve(), out / file.name)):
                copy(file, out / file.name)
        config = read_json(out / "config.json")
        others = [
            f"{name} was left out: it lies in the model's folder and is no part of it" for name in left_out(folder)
        ]
        return StepReport(
            notes={"architectures": _stated(config.get("architectures")), "dtype": _stated(config.get("dtype"))},
            warnings=tuple(others),
        )

    def expected_bytes(self, n_parameters: int) -> int:
        """Return the bytes of the model's files."""
        return sum(regular_file(file) for file in model_files(resolve(self.path)))


def _stated(value: object) -> object:
    """Return what a config states where it is a word or a list of words: a record holds nothing else of a stranger."""
    words = value if isinstance(value, list) else [value]
    return value if all(isinstance(word, str) and word.isidentifier() for word in words) else None


def _linked(target: Path, name: Path) -> bool:
    """Link a file that is never written to again; return False on another file system."""
    try:
        os.link(target, name)
    except OSError:
        return False
    return True
