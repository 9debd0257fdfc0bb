"""Step `nf4`: bitsandbytes' 4-bit NormalFloat, what QLoRA trains on (Dettmers et al. 2023, arXiv 2305.14314)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.load import load_model, sixteen_bit
from variants.model_folder import copy_tokenizer
from variants.step import Role


@dataclass(frozen=True)
class Nf4:
    """Store the linear layers in NF4, with the scales quantized again if `double_quant`; the rest stays 16-bit."""

    double_quant: bool

    role: ClassVar[Role] = "quantize"
    takes: ClassVar[tuple[Kind | None, ...]] = ("hf",)
    gives: ClassVar[Kind] = "nf4"
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "bitsandbytes")
    on_device: ClassVar[bool] = True
    revision: ClassVar[int] = 1
    expected_cost: ClassVar[float] = 2.5

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Quantize while loading and save the packed weights."""
        import torch
        from transformers import BitsAndBytesConfig

        assert parent is not None
        config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=torch.bfloat16 if device == "cuda" else torch.float32,
        )
        load_model(parent.path, sixteen_bit(parent.tensor_types), device, config).save_pretrained(out)
        copy_tokenizer(parent.path, out)
        return StepReport(notes={"quant_type": "nf4", "double_quant": self.double_quant})

    def expected_bytes(self, n_parameters: int) -> int:
        """Return 8 bits a parameter: 4-bit layers, and up to a third of a small model in a 16-bit embedding."""
        return n_parameters
