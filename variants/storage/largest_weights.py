"""The largest absolute weight of each tensor in a file: read once for as long as the file's content is known."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from variants.storage import checksum
from variants.storage.tensors import FLOATS, Stored, stored_in

LARGEST_KEPT = 64 << 20
"""Bytes of a file of kept weights: a thousand models."""


@dataclass(frozen=True)
class LargestWeight:
    """A tensor that is not packed: its name, its number of dimensions, and its largest absolute value."""

    tensor: str
    n_dimensions: int
    value: float


_known: dict[str, tuple[LargestWeight, ...]] = {}
"""By the sha256 of the file, or by its path and look in this process where that is not known."""


def largest_weights(file: Path) -> tuple[LargestWeight, ...]:
    """Return the largest weights of a safetensors file, NaN where a tensor has one."""
    key = checksum.known_sha256(file) or f"{file} {checksum.Look.of(file.resolve())}"
    if key not in _known:
        tensors = [one for one in stored_in(file) if one.type in FLOATS and 0 not in one.shape]
        _known[key] = tuple(LargestWeight(one.name, len(one.shape), _largest(one)) for one in tensors)
    return _known[key]


def _largest(tensor: Stored) -> float:
    import torch

    borders = torch.stack([border.double() for block in tensor.rows() for border in block.aminmax()])
    return float(borders.abs().max())  # of a NaN and a number: NaN


def recall(file: Path) -> None:
    """Take the largest weights that a file holds; one that is damaged, or not there, holds none."""
    with suppress(OSError, ValueError):
        if checksum.Look.of(file).size_bytes <= LARGEST_KEPT:
            _known.update(msgspec.json.decode(file.read_bytes(), type=dict[str, tuple[LargestWeight, ...]]))


def keep(file: Path) -> None:
    """Write the largest weights that are known by content to a file, with those that it holds."""
    recall(file)
    kept = {
        key: largest
        for key, largest in _known.items()
        if checksum.SHA256.fullmatch(key) and all(math.isfinite(one.value) for one in largest)
    }
    checksum.replace_content(file, msgspec.json.encode(kept), LARGEST_KEPT)
