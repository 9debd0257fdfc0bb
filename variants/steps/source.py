"""Step `source`: the model that every variant starts from, checked before anything is built on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.model_folder import left_out, model_files
from variants.paths import resolve
from variants.safety.files import read_json, regular_file
from variants.step import CONTENT, LIBRARY_BYTES, Role
from variants.steps.model_checks import refuse_infinite, refuse_misfit, refuse_quantized
from variants.storage.placing import copied_bytes, place

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
        """Bring the model's files into `out`, sharing what is on the disk already where that is safe."""
        folder = resolve(self.path)
        checksums, ways = {}, set()
        for file in model_files(folder):
            is_weights = file.suffix == WEIGHTS
            way, checksums[file.name] = place(file, out / file.name, may_link=is_weights)
            ways |= {way} if is_weights else set()
        config = read_json(out / "config.json")
        others = [
            f"{name} was left out: it lies in the model's folder and is no part of it" for name in left_out(folder)
        ]
        return StepReport(
            notes={
                "architectures": _stated(config.get("architectures")),
                "dtype": _stated(config.get("dtype")),
                "weights": " and ".join(sorted(ways)),
            },
            warnings=tuple(others),
            checksums=checksums,
        )

    def expected_bytes(self, n_parameters: int) -> int:
        """Return the bytes of the model's files."""
        return sum(regular_file(file) for file in model_files(resolve(self.path)))

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return what the process takes: files are copied in blocks."""
        return LIBRARY_BYTES

    def written_bytes(self, cache: Path) -> int:
        """Return the bytes of those files that have to be copied to come into a cache."""
        return sum(
            copied_bytes(file, cache) if file.suffix == WEIGHTS else regular_file(file)
            for file in model_files(resolve(self.path))
        )


def _stated(value: object) -> object:
    """Return what a config states where it is a word or a list of words: a record holds nothing else of a stranger."""
    words = value if isinstance(value, list) else [value]
    return value if all(isinstance(word, str) and word.isidentifier() for word in words) else None
