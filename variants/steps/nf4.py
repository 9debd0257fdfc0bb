"""Step `nf4`: bitsandbytes' 4-bit NormalFloat, what QLoRA trains on (Dettmers et al. 2023, arXiv 2305.14314)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.load import load_model, refuse_packing, sixteen_bit
from variants.model_folder import copy_tokenizer
from variants.safety.code import fetch_no_kernels
from variants.step import LIBRARY_BYTES, Role, largest_tensor
from variants.steps.model_checks import refuse_widths

if TYPE_CHECKING:
    from transformers import PreTrainedModel


CPU_BLOCK = 32
"""Rows that bitsandbytes' 4-bit kernel for CPUs with AVX512-BF16 takes at once; it fails for any other number."""


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

    def check(self, model: Path, device: str) -> None:
        """Raise UserError where weights leave the range they are packed from, or layers do not fit the CPU's kernel."""
        fetch_no_kernels()
        from bitsandbytes.functional import has_avx512bf16

        refuse_packing(model)
        if device == "cpu" and has_avx512bf16():  # type: ignore[no-untyped-call]
            refuse_widths(model, CPU_BLOCK, "device=cuda, int8 or a GGUF take it")

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
        model = load_model(parent.path, sixteen_bit(parent.tensor_types), device, config)
        model.save_pretrained(out)
        copy_tokenizer(parent.path, out)
        notes = {"quant_type": "nf4", "double_quant": self.double_quant}
        return StepReport(notes=notes, warnings=unpacked(model, parent.n_parameters))

    def expected_bytes(self, n_parameters: int) -> int:
        """Return 8 bits a parameter: 4-bit layers, and up to a third of a small model in a 16-bit embedding."""
        return n_parameters

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return the memory of the packed weights, and of one tensor before it is packed."""
        return LIBRARY_BYTES + self.expected_bytes(n_parameters) + 4 * largest_tensor(n_parameters)


def unpacked(model: PreTrainedModel, n_parameters: int) -> tuple[str, ...]:
    """Warn of weights that bitsandbytes left in 16 bits, beside embeddings and output layer, with their share.

    It packs linear layers alone; transformers keeps the experts of a mixture in one tensor that is none.
    """
    from torch import nn

    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    output = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    known = {id(p) for module in [*tables, output] if module is not None for p in module.parameters()}
    left = {
        name: parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.is_floating_point() and parameter.ndim > 1 and id(parameter) not in known
    }
    if not left:
        return ()
    share, largest = sum(left.values()) / n_parameters, max(left, key=lambda name: left[name])
    return (
        f"{len(left)} tensors with {share:.1%} of the parameters stayed 16-bit, such as {largest}: bitsandbytes packs "
        "linear layers alone, and not the experts of a mixture",
    )
