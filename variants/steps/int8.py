"""Step `int8`: LLM.int8, 8-bit weights and activations (Dettmers et al. 2022, arXiv 2208.07339)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.errors import UserError
from variants.load import load_model, refuse_packing, sixteen_bit
from variants.model_folder import copy_tokenizer
from variants.step import LIBRARY_BYTES, Role, largest_tensor
from variants.steps.nf4 import unpacked


@dataclass(frozen=True)
class Int8:
    """Store the linear layers in 8 bits, one scale a row; the rest, the output layer too, stays 16-bit.

    Columns in which an activation reaches `outlier_threshold` are multiplied unquantized, with 0 none are.
    """

    outlier_threshold: float

    role: ClassVar[Role] = "quantize"
    takes: ClassVar[tuple[Kind | None, ...]] = ("hf",)
    gives: ClassVar[Kind] = "int8"
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "bitsandbytes")
    on_device: ClassVar[bool] = True
    revision: ClassVar[int] = 0
    expected_cost: ClassVar[float] = 2.5

    def __post_init__(self) -> None:
        if not self.outlier_threshold >= 0:
            raise UserError(f"outlier_threshold: got {self.outlier_threshold}, allowed: 0 and more")

    def check(self, model: Path, device: str) -> None:
        """Raise UserError where the weights leave the range of the format that they are packed from."""
        refuse_packing(model)

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Quantize while loading and save the packed weights."""
        from transformers import BitsAndBytesConfig

        assert parent is not None
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=self.outlier_threshold)  # type: ignore[no-untyped-call]
        model = load_model(parent.path, sixteen_bit(parent.tensor_types), device, config)
        model.save_pretrained(out)
        copy_tokenizer(parent.path, out)
        notes = {"quant_type": "int8", "outlier_threshold": self.outlier_threshold}
        return StepReport(notes=notes, warnings=unpacked(model, parent.n_parameters))

    def expected_bytes(self, n_parameters: int) -> int:
        """Return 11 bits a parameter: 8-bit layers, and up to a third of a small model in a 16-bit embedding."""
        return int(n_parameters * 11 / 8)

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return the memory of the packed weights, and of one tensor before it is packed."""
        return LIBRARY_BYTES + self.expected_bytes(n_parameters) + 4 * largest_tensor(n_parameters)
