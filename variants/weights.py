"""Read what weight files hold from their headers, without loading a tensor."""

from __future__ import annotations

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

    Raises UserError for a broken or truncated file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return [Tensor(name, s.get_dtype(), prod(s.get_shape())) for name, s in slices.items()]
    except SafetensorError as error:
        raise UserError(f"{path}: {_complaint(str(error), path.stat().st_size)}; fetch it again") from None


def _complaint(reason: str, size_bytes: int) -> str:
    """Return what an error of the safetensors library means for the user."""
    if "file not fully covered" in reason:
        return f"{size_bytes:,} bytes, its header promises another size"
    if "header too small" in reason or "header length" in reason or "header too large" in reason:
        return f"not a safetensors file or cut short ({size_bytes:,} bytes)"
    return "its safetensors header does not parse"


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


def tensors(folder: Path) -> list[Tensor]:
    """List the tensors of the safetensors files in a folder."""
    return [tensor for path in sorted(folder.glob("*.safetensors")) for tensor in safetensors_header(path)]


def describe(folder: Path) -> list[Tensor]:
    """List the tensors of all weight files in a folder."""
    return [*tensors(folder), *(tensor for path in sorted(folder.glob("*.gguf")) for tensor in gguf_header(path))]


def histogram(stored: list[Tensor]) -> dict[str, int]:
    """Count tensors by the type they are really stored in; bitsandbytes' packed weights count as NF4 or INT8.

    bitsandbytes stores a 4-bit weight as U8 beside `<name>.quant_state.bitsandbytes__nf4` and its scales, an 8-bit one
    as I8 `<module>.weight` beside the scales `<module>.SCB`.
    """
    names = {t.name for t in stored}
    packed = {name.removesuffix(NF4): "NF4" for name in names if name.endswith(NF4)}
    packed |= {name.removesuffix(".SCB") + ".weight": "INT8" for name in names if name.endswith(".SCB")}
    scales = {name + suffix for name, kind in packed.items() if kind == "NF4" for suffix in NF4_SCALES}
    scales |= {name.removesuffix(".weight") + suffix for name in packed for suffix in INT8_SCALES}
    return dict(sorted(Counter(packed.get(t.name, t.type) for t in stored if t.name not in scales).items()))
