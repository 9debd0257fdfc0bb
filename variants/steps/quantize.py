"""Steps `q8` … `q2`: llama.cpp's quantization of a GGUF file, in process."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.errors import UserError
from variants.process import usable_cores
from variants.step import LIBRARY_BYTES, Role, largest_tensor
from variants.steps.llama_log import captured_log
from variants.weights import gguf_header, histogram

# Bits per weight on an 8B Llama, from llama.cpp's tools/quantize/README.md: for the plan's disk check alone.
NOMINAL_BITS = {
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_K_M": 5.7,
    "Q5_K_S": 5.57,
    "Q5_0": 5.5,
    "Q4_K_M": 4.89,
    "Q4_K_S": 4.67,
    "Q4_0": 4.5,
    "Q3_K_L": 4.3,
    "Q3_K_M": 4.0,
    "Q3_K_S": 3.64,
    "Q2_K": 3.16,
}
# What a file of each type is made of; any other quantized type in it is a fallback (rows not divisible by 256).
FAMILY = {"Q8_0": {"Q8_0"}, "Q5_0": {"Q5_0", "Q6_K"}, "Q4_0": {"Q4_0", "Q6_K"}}
K_TYPES = {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"}
UNQUANTIZED = {"F32", "F16", "BF16"}


@dataclass(frozen=True)
class Quantize:
    """Quantize to a llama.cpp `type`, always from the unquantized file, never from another quant."""

    type: str

    role: ClassVar[Role] = "quantize"
    takes: ClassVar[tuple[Kind | None, ...]] = ("gguf",)
    gives: ClassVar[Kind] = "gguf"
    tools: ClassVar[tuple[str, ...]] = ("llama-cpp-python",)
    on_device: ClassVar[bool] = False
    revision: ClassVar[int] = 0
    expected_cost: ClassVar[float] = 0.3

    def __post_init__(self) -> None:
        if self.type not in NOMINAL_BITS:
            raise UserError(f"type: got {self.type!r}, allowed: {', '.join(NOMINAL_BITS)}")

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Write `model.gguf`, and warn about every tensor that llama.cpp did not store in the type's own family."""
        import llama_cpp

        assert parent is not None
        already = set(parent.tensor_types) - UNQUANTIZED
        if already:
            raise UserError(
                f"type: {self.type} over a file that is already {', '.join(sorted(already))}; quantize from gguf"
            )
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{self.type}")
        params.nthread = usable_cores()
        target = out / "model.gguf"
        with captured_log() as log:
            code = llama_cpp.llama_model_quantize(
                str(parent.gguf()).encode(), str(target).encode(), ctypes.byref(params)
            )
        if code != 0:
            raise RuntimeError(f"llama_model_quantize returned {code} for {self.type}: {log.reason}")
        types = histogram(gguf_header(target))
        strays = {t: n for t, n in types.items() if t not in UNQUANTIZED | FAMILY.get(self.type, K_TYPES)}
        if not types.keys() - UNQUANTIZED:
            raise UserError(f"type: no tensor of this model fits a block of {self.type}: no row is a multiple of 32")
        kept = types.get("F16", 0) + types.get("BF16", 0)
        warnings = [
            f"{n} tensors are {t}, not {self.type}: their rows do not fit its blocks of 256" for t, n in strays.items()
        ]
        if kept:
            warnings.append(f"{kept} tensors stayed 16-bit under the label {self.type}")
        return StepReport(notes={"type": self.type}, warnings=tuple(warnings))

    def expected_bytes(self, n_parameters: int) -> int:
        """Return parameters times the type's nominal bits per weight."""
        return int(n_parameters * NOMINAL_BITS[self.type] / 8)

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return the memory of one tensor in 32 bits and quantized: llama.cpp maps the file that it reads."""
        return LIBRARY_BYTES + 8 * largest_tensor(n_parameters)
