"""Read what weight files hold from their headers, without loading a tensor."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

from variants.errors import UserError

NF4 = ".quant_state.bitsandbytes__nf4"
NF4_SCALES = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", NF4)
INT8_SCALES = (".SCB", ".weight_format")


@dataclass(frozen=True)
class Tensor:
    """One stored tensor: name, storage type as the file calls it, and number of elements."""

    name: str
    type: str
    n_elements: int


def safetensors_header(path: Path) -> list[Tensor]:
    """List the tensors of a safetensors file and check that the file holds every byte they need.

    Format: 8 bytes little-endian header length, JSON header, data (huggingface/safetensors, README, "Format").
    Raises UserError for a broken or truncated file.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= size_bytes - 8:
            raise UserError(f"{path}: not a safetensors file or cut short ({size_bytes:,} bytes); fetch it again")
        try:
            header = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            tensors = [Tensor(name, t["dtype"], prod(t["shape"])) for name, t in header.items()]
            end = max((t["data_offsets"][1] for t in header.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise UserError(f"{path}: its safetensors header does not parse; fetch it again") from None
    expected_bytes = 8 + length + end
    if size_bytes != expected_bytes:
        raise UserError(f"{path}: {size_bytes:,} bytes, its header promises {expected_bytes:,}; fetch it again")
    return tensors


def gguf_header(path: Path) -> list[Tensor]:
    """List the tensors of a GGUF file and check that the file holds every byte they need.

    Raises UserError for a broken or truncated file.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        return [Tensor(t.name, t.tensor_type.name, int(t.n_elements)) for t in reader.tensors]
    except (ValueError, IndexError, KeyError, OverflowError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not a complete GGUF file, broken or cut short ({reason})") from None


def describe(folder: Path) -> list[Tensor]:
    """List the tensors of all weight files in a folder."""
    tensors: list[Tensor] = []
    for path in sorted(folder.glob("*.safetensors")):
        tensors += safetensors_header(path)
    for path in sorted(folder.glob("*.gguf")):
        tensors += gguf_header(path)
    return tensors


def histogram(tensors: list[Tensor]) -> dict[str, int]:
    """Count tensors by the type they are really stored in; bitsandbytes' packed weights count as NF4 or INT8.

    bitsandbytes stores a 4-bit weight as U8 beside `<name>.quant_state.bitsandbytes__nf4` and its scales, an 8-bit one
    as I8 `<module>.weight` beside the scales `<module>.SCB`.
    """
    names = {t.name for t in tensors}
    packed = {name.removesuffix(NF4): "NF4" for name in names if name.endswith(NF4)}
    packed |= {name.removesuffix(".SCB") + ".weight": "INT8" for name in names if name.endswith(".SCB")}
    scales = {name + suffix for name, kind in packed.items() if kind == "NF4" for suffix in NF4_SCALES}
    scales |= {name.removesuffix(".weight") + suffix for name in packed for suffix in INT8_SCALES}
    return dict(sorted(Counter(packed.get(t.name, t.type) for t in tensors if t.name not in scales).items()))
