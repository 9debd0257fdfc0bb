"""Open a model to compute with it in 32 bits, holding at most one copy of it.

The weights of a large model are held in the 16 bits that they are stored in, and each module gets its own in 32 for as
long as it computes: the same numbers in half of the memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variants.load import load_model, sixteen_bit
from variants.process import available_bytes
from variants.step import LIBRARY_BYTES, largest_tensor
from variants.steps.model_checks import stored_tensors
from variants.weights import NF4_SCALES

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALL_BYTES = 4 << 30
"""A model that takes up to this in 32 bits is held in them."""
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
SIXTEEN_BIT = ("F16", "BF16")


@dataclass(frozen=True)
class Need:
    """The memory in bytes that a model takes here, and the dtype that its weights are held in."""

    memory_bytes: int
    dtype: str

    @classmethod
    def of(cls, folder: Path) -> Need:
        """Compute it from the headers of a folder's files; packed weights stay packed."""
        sizes = [(name.endswith(NF4_SCALES), kind, prod(shape)) for _, name, kind, shape in stored_tensors(folder)]
        unpacked = [(kind, n) for is_scale, kind, n in sizes if kind in BYTES and not is_scale]
        packed_bytes = sum(n * BYTES.get(kind, 1) for is_scale, kind, n in sizes if kind not in BYTES or is_scale)
        total, largest = sum(n for _, n in unpacked), max((n for _, n in unpacked), default=0)
        wide = sum(n for kind, n in unpacked if kind not in SIXTEEN_BIT)
        # The gains of norms may be stored in 32 bits; a whole model in 32 must not be rounded to be compared.
        if 4 * total <= SMALL_BYTES or 100 * wide > total:
            return cls(packed_bytes + 4 * total + LIBRARY_BYTES, "float32")
        dtype = sixteen_bit(Counter(kind for kind, _ in unpacked))
        return cls(packed_bytes + 2 * total + 4 * largest + LIBRARY_BYTES, dtype)


def expected_memory_bytes(n_parameters: int) -> int:
    """Return about the memory that a model of 16-bit weights takes here, whose largest tensor is a common embedding."""
    in_32_bits = 4 * n_parameters
    held = in_32_bits if in_32_bits <= SMALL_BYTES else 2 * n_parameters + 4 * largest_tensor(n_parameters)
    return held + LIBRARY_BYTES


def too_large(folders: Sequence[Path]) -> str | None:
    """Return why models cannot be opened here one after another, None where they can."""
    needed, available = max(Need.of(folder).memory_bytes for folder in folders), available_bytes()
    if needed <= available:
        return None
    return f"that takes {needed / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} are free"


def open_in_float32(folder: Path, adapter: Path | None = None) -> Any:
    """Return the model in a folder, with an adapter where one is named, on the CPU: it computes in 32 bits."""
    held = Need.of(folder).dtype
    model = load_model(folder, held, "cpu")
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    if held != "float32":
        compute_in_float32(model)
    return model.eval()


def compute_in_float32(model: nn.Module) -> None:
    """Have each module of a model see its own 16-bit parameters in 32 bits while it computes."""
    import torch

    for module in model.modules():
        narrow = [p for p in module.parameters(recurse=False) if p.dtype in (torch.float16, torch.bfloat16)]
        if narrow:
            widened = _Widened(narrow)
            module.register_forward_pre_hook(widened.begin)
            module.register_forward_hook(widened.end)


class _Widened:
    """Parameters of a module that are in 32 bits between two calls."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        self._kept: list[Tensor] = []

    def begin(self, *_: object) -> None:
        self._kept = [parameter.data for parameter in self._parameters]
        for parameter in self._parameters:
            parameter.data = parameter.data.float()

    def end(self, *_: object) -> None:
        for parameter, data in zip(self._parameters, self._kept, strict=True):
            parameter.data = data
        self._kept = []
