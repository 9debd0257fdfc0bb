"""Which files of a folder are the model's weights, and what they hold: read from headers, without loading a tensor."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from re import fullmatch
from reprlib import repr as shortened

from variants.errors import UserError
from variants.safety.files import read_json, regular_file
from variants.storage.gguf_file import stored_tensors

NF4 = ".quant_state.bitsandbytes__nf4"
NF4_SCALES = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", NF4)
INT8_SCALES = (".SCB", ".weight_format")
INDEX, SINGLE, ADAPTER = "model.safetensors.index.json", "model.safetensors", "adapter_model.safetensors"
SHARD = r"[\w.-]+\.safetensors"
LENGTH_BYTES, LARGEST_HEADER = 8, 100_000_000
"""A safetensors file starts with the length of its header; the format's own limit of that (safetensors' README)."""


@dataclass(frozen=True)
class Tensor:
    """One stored tensor: name, storage type as the file calls it, and number of elements."""

    name: str
    type: str
    n_elements: int


def weight_files(folder: Path) -> list[Path]:
    """List the files of a folder that are the model's weights, by the one rule for sources, artifacts and sizes.

    The index and exactly the shards it names; else model.safetensors; else an adapter's weights; else GGUF files.
    Others in the folder are not the model's. Raises UserError for an index that is broken or names what is not there.
    """
    if os.path.lexists(folder / INDEX):
        return [folder / name for name in _shards(folder / INDEX)]
    for name in (SINGLE, ADAPTER):
        if os.path.lexists(folder / name):
            return [folder / name]
    return sorted(folder.glob("*.gguf"))


def _shards(index: Path) -> list[str]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{index}: weight_map: got {shortened(weight_map)}, allowed: tensors and files; fetch it again")
    for shard in weight_map.values():
        if not (isinstance(shard, str) and fullmatch(SHARD, shard)):
            raise UserError(f"{index}: shard {shortened(shard)}, allowed: a *.safetensors file of the same folder")
        if not os.path.lexists(index.parent / shard):
            raise UserError(f"{index.parent}: shard {shard} is named in {index.name} but missing; fetch it again")
    return sorted(set(weight_map.values()))


def safetensors_header(path: Path) -> list[Tensor]:
    """List the tensors of a safetensors file and check that the file holds every byte they need.

    Raises UserError for a broken or truncated file, and for what is no file.
    """
    from safetensors import SafetensorError, safe_open

    size_bytes = regular_file(path)
    with path.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(LENGTH_BYTES), "little")
    if header_bytes > min(LARGEST_HEADER, size_bytes - LENGTH_BYTES):
        raise UserError(
            f"{path}: not a safetensors file or cut short ({size_bytes:,} bytes, a header of {header_bytes:,}); "
            "fetch it again"
        )
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
    try:
        return [Tensor(stored.name, stored.type, stored.n_elements) for stored in stored_tensors(path)]
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not a complete GGUF file, broken or cut short ({reason})") from None


def tensors(folder: Path) -> list[Tensor]:
    """List the tensors of the weight files in a folder, safetensors or GGUF."""
    return [
        tensor
        for path in weight_files(folder)
        for tensor in (gguf_header(path) if path.suffix == ".gguf" else safetensors_header(path))
    ]


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
