"""Step `source`: the model that every variant starts from, checked before anything is built on it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.model_folder import model_files
from variants.paths import resolve
from variants.step import CONTENT, Role


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

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Copy the model's files into `out`: a link would let a later change of the folder reach into the cache.

        Files of a hub snapshot are linked: they lie in a store that is addressed by content and never changed.
        """
        for file in model_files(resolve(self.path)):
            if file.is_symlink():
                _link(file.resolve(), out / file.name)
            else:
                shutil.copyfile(file, out / file.name)
        config = json.loads((out / "config.json").read_text())
        return StepReport(notes={"architectures": config.get("architectures"), "dtype": config.get("dtype")})

    def expected_bytes(self, n_parameters: int) -> int:
        """Return the bytes of the model's files."""
        return sum(file.stat().st_size for file in model_files(resolve(self.path)))


def _link(target: Path, name: Path) -> None:
    try:
        os.link(target, name)
    except OSError:  # another file system
        shutil.copyfile(target, name)
