"""Step `gguf`: convert a 16-bit transformers folder to one GGUF file with llama.cpp's own converter."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.child import start
from variants.errors import UserError
from variants.probing.beside import beside
from variants.probing.float32 import expected_memory_bytes, too_large
from variants.safety.converter import LAUNCHER
from variants.safety.files import read_json
from variants.step import Role, largest_tensor
from variants.steps.model_checks import refuse_overflow
from variants.steps.probe import Probed, compare_conversion
from variants.storage.tensors import stored
from variants.weights import gguf_header

CONVERTER = Path(sys.prefix) / "llama.cpp" / "convert_hf_to_gguf.py"
"""Set-up unpacks it from the source distribution of the very llama-cpp-python that runs the file."""
STDERR = 2
CONVERTER_BYTES = 6
"""What the converter takes for each element of the one tensor that it holds: 32 bits, and 16 as it is written."""
OUTPUT = "output.weight"
"""What llama.cpp calls the output layer where it is not the embedding."""
EXPERT = re.compile(r"\.\d+\.(?=w\d\.|(gate|up|down)_proj\.)")
"""The number of an expert in the name of one of its tensors."""
BITS = {"f32": 32, "f16": 16, "bf16": 16}
UNKNOWN = {"pre-tokenizer was not recognized": "tokenizer", "is not supported": "architecture"}
"""What llama.cpp's converter does not know where it says so, by words of its message."""


@dataclass(frozen=True)
class Gguf:
    """Write the weights as `type` (f32, f16 or bf16); a later step quantizes from this file."""

    type: str

    role: ClassVar[Role] = "convert"
    takes: ClassVar[tuple[Kind | None, ...]] = ("hf",)
    gives: ClassVar[Kind] = "gguf"
    tools: ClassVar[tuple[str, ...]] = ("llama-cpp-python",)
    on_device: ClassVar[bool] = False
    revision: ClassVar[int] = 0
    expected_cost: ClassVar[float] = 2.5

    def __post_init__(self) -> None:
        if self.type not in BITS:
            raise UserError(f"type: got {self.type!r}, allowed: {', '.join(BITS)}")

    def check(self, model: Path, device: str) -> None:
        """Raise UserError where llama.cpp's converter cannot take a model: it is asked, and writes nothing."""
        self._check_range(model)
        self._convert(model, Path("model.gguf"), "--dry-run")

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Run the converter, whose log goes to this process's standard error; compare what it wrote with its source.

        The source computes in torch meanwhile, or afterwards where memory does not suffice for both. `compare_seconds`
        begin when the file is written.
        """
        assert parent is not None
        self._check_range(parent.path)
        target = out / "model.gguf"
        notes: dict[str, object] = {}
        started = time.monotonic()
        with beside(partial(_in_torch, parent.path, with_converter=True)) as probed:
            self._convert(parent.path, target)
            written = time.monotonic()
            header = gguf_header(target)
            _refuse_tied(parent, {tensor.name for tensor in header})
            source = probed()
        gc.collect()  # a model is a circle of references
        if isinstance(source, str):
            source = _in_torch(parent.path)
        if isinstance(source, str):
            warnings: tuple[str, ...] = (f"not compared with its source in torch: {source}",)
        else:
            notes, warnings = compare_conversion(source, target)
        left_out = 1 - sum(tensor.n_elements for tensor in header) / parent.n_parameters
        if left_out > 0.01:
            warnings += (f"the GGUF leaves out {left_out:.0%} of the source's parameters, such as its part for images",)
        seconds = {
            "write_seconds": round(written - started, 3),
            "compare_seconds": round(time.monotonic() - written, 3),
        }
        notes = {"converter": "convert_hf_to_gguf.py", "type": self.type, **notes, **seconds}
        return StepReport(notes=notes, warnings=warnings)

    def _check_range(self, folder: Path) -> None:
        if self.type == "f16":  # vectors, such as the gains of norms, are written in 32 bits
            refuse_overflow(folder, "set steps.gguf.type=bf16", least_dimensions=2)

    def _convert(self, folder: Path, target: Path, *options: str) -> None:
        if not CONVERTER.is_file():
            raise UserError(f"{CONVERTER}: the GGUF converter is missing; run `make setup`")
        command = [sys.executable, str(LAUNCHER), str(CONVERTER), str(folder), "--outtype", self.type, *options]
        code, last_line = _logged([*command, "--outfile", str(target)], to_log=not options)
        if code != 0:
            raise UserError(f"{folder}: {refusal(folder, last_line)}")

    def expected_bytes(self, n_parameters: int) -> int:
        """Return the bytes of the weights in this type."""
        return n_parameters * BITS[self.type] // 8

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return the bytes that the converter and the comparison in torch take at the same time."""
        return expected_memory_bytes(n_parameters) + CONVERTER_BYTES * largest_tensor(n_parameters)


def _refuse_tied(parent: Artifact, written: Collection[str]) -> None:
    """Raise UserError where training made two tables of one, and llama.cpp writes one of them alone (Gemma)."""
    if parent.notes.get("untied") and OUTPUT not in written:
        raise UserError(
            f"{parent.path}: training made the embedding and the output layer of this model differ, and llama.cpp has "
            "one table for both: leave embed_tokens and lm_head out of steps.lora.target_modules; what runs in torch "
            "still works: variant=finetuned-torch"
        )


def _in_torch(source: Path, *, with_converter: bool = False) -> Probed | str:
    """Return what a source answers in torch, or why memory does not suffice, `with_converter` for both at once."""
    written = CONVERTER_BYTES * _largest(source) if with_converter else 0
    return too_large([source], written) or Probed.of(source)


def _largest(source: Path) -> int:
    """Return the elements of the largest tensor that the converter holds: all experts of a layer become one."""
    sizes = Counter[str]()
    for name, tensor in stored(source).items():
        sizes[EXPERT.sub(".", name)] += prod(tensor.shape)
    return max(sizes.values())


def _logged(command: Sequence[str], *, to_log: bool) -> tuple[int, str]:
    """Run the converter, its output on this process's standard error if asked; return exit status and last line."""
    last_line = "it printed nothing"
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        **start(offline=True),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if to_log:
                os.write(STDERR, line.encode())
            last_line = line.strip() or last_line
    return process.returncode, last_line


def refusal(folder: Path, last_line: str) -> str:
    """Return why the converter could not take a model, by the last line of its log, and what works all the same."""
    unknown = next((what for words, what in UNKNOWN.items() if words in last_line), None)
    architectures = read_json(folder / "config.json").get("architectures")
    reason = f"does not know this {unknown}" if unknown else "failed"
    return (
        f"llama.cpp's converter {reason} (architectures {architectures}: {last_line}); what runs in torch still works: "
        "variant=base-torch,nf4,int8"
    )
