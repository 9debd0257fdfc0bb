"""The weights that an adapter is merged onto, tensor by tensor: those of a 16-bit model, or of one packed in NF4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variants.safety.code import fetch_no_kernels
from variants.storage.tensors import Stored, row_blocks, rows_and_width, stored
from variants.weights import NF4, NF4_SCALES

if TYPE_CHECKING:
    from torch import Tensor

PACKED = "NF4"


@dataclass(frozen=True)
class Weight:
    """One weight of a model: its name in the files, its format there and its shape as the model has it."""

    tensor: Stored
    type: str
    shape: tuple[int, ...]
    scales: tuple[Stored, ...] = ()

    def rows(self) -> Iterator[Tensor]:
        """Yield its rows in blocks: in the format they are stored in, or unpacked as the model computes with them."""
        if self.type != PACKED:
            yield from self.tensor.rows()
            return
        unpacked = self._unpacked().reshape(rows_and_width(self.shape))
        for first, last in row_blocks(*unpacked.shape):
            yield unpacked[first:last]

    def _unpacked(self) -> Tensor:
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(self.tensor.whole(), quant_state=_quant_state(self.tensor, self.scales))


def weights(folder: Path) -> dict[str, Weight]:
    """Return the weights of a model folder by their names in its files."""
    tensors = stored(folder)
    packed = {name.removesuffix(NF4) for name in tensors if name.endswith(NF4)}
    scales = {name: tuple(tensors[name + end] for end in NF4_SCALES if name + end in tensors) for name in packed}
    of_others = {one.name for several in scales.values() for one in several}
    by_name = {}
    for name, tensor in tensors.items():
        if name in packed:
            by_name[name] = Weight(tensor, PACKED, tuple(_quant_state(tensor, scales[name]).shape), scales[name])
        elif name not in of_others:
            by_name[name] = Weight(tensor, tensor.type, tensor.shape)
    return by_name


def _quant_state(tensor: Stored, scales: tuple[Stored, ...]) -> Any:
    """Return bitsandbytes' description of a packed tensor, which its checkpoints hold as tensors of their own."""
    fetch_no_kernels()
    import torch
    from bitsandbytes.functional import QuantState

    parts = {one.name.removeprefix(f"{tensor.name}."): one.whole() for one in scales}
    return QuantState.from_dict(parts, torch.device("cpu"))
