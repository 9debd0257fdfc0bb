"""Step `gguf`: convert a 16-bit transformers folder to one GGUF file with llama.cpp's own converter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.child import start
from variants.errors import UserError
from variants.safety.converter import LAUNCHER
from variants.safety.files import read_json
from variants.step import Role

CONVERTER = Path(sys.prefix) / "llama.cpp" / "convert_hf_to_gguf.py"
"""Set-up unpacks it from the source distribution of the very llama-cpp-python that runs the file."""
STDERR = 2
BITS = {"f32": 32, "f16": 16, "bf16": 16}


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

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Run the converter; its log goes to this process's standard error."""
        assert parent is not None
        if not CONVERTER.is_file():
            raise UserError(f"{CONVERTER}: the GGUF converter is missing; run `make setup`")
        command = [sys.executable, str(LAUNCHER), str(CONVERTER), str(parent.path), "--outtype", self.type]
        code, last_line = _logged([*command, "--outfile", str(out / "model.gguf")])
        if code != 0:
            architectures = read_json(parent.path / "config.json").get("architectures")
            raise UserError(
                f"convert_hf_to_gguf.py exited with {code} for {architectures}: {last_line}; "
                "variants without a GGUF file still work, such as base-torch and nf4"
            )
        return StepReport(notes={"converter": "convert_hf_to_gguf.py", "type": self.type})

    def expected_bytes(self, n_parameters: int) -> int:
        """Return the bytes of the weights in this type."""
        return n_parameters * BITS[self.type] // 8


def _logged(command: Sequence[str]) -> tuple[int, str]:
    """Run the converter, its output on this process's standard error; return its exit status and last line."""
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
            os.write(STDERR, line.encode())
            last_line = line.strip() or last_line
    return process.returncode, last_line
