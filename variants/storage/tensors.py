"""Read and write the tensors of safetensors files block by block: no tensor, and no file, is in memory as a whole.

Files are read by position and not mapped: a mapped page counts as memory of the process until the kernel takes it back.
The format: 8 bytes length of the header, little-endian; the header, JSON; the tensors one after another (safetensors'
README).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variants.storage.checksum import HashedFile
from variants.weights import INDEX, LENGTH_BYTES, SINGLE, safetensors_header, weight_files

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_ELEMENTS = 1 << 23
"""Elements that are in memory at once: 32 MiB in 32 bits."""
SHARD_BYTES = 5_000_000_000
"""A file of weights gets no larger, but for a tensor that is."""
ALIGNMENT = 8
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""The formats of weights that are not quantized, by their names in a safetensors header and in torch."""
TYPES = {
    **FLOATS,
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"},
}
"""The formats of a safetensors header, by their names in torch; no model that is taken as a source has another."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its name, format and shape, and the bytes of the file that it takes."""

    file: Path
    name: str
    type: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int

    def rows(self) -> Iterator[Tensor]:
        """Yield the tensor as matrices of its rows, in their order; a vector has rows of one element.

        A tensor of more dimensions has rows of all that follows the first.
        """
        import torch

        n_rows, width = rows_and_width(self.shape)
        n_bytes = self.size_bytes // max(1, n_rows)
        with self.file.open("rb", buffering=0) as stream:
            for first, last in row_blocks(n_rows, width):
                buffer = torch.empty((last - first) * n_bytes, dtype=torch.uint8)
                _read_at(stream.fileno(), buffer.numpy().data, self.start + first * n_bytes)
                yield buffer.view(getattr(torch, TYPES[self.type])).view(-1, width)

    def whole(self) -> Tensor:
        """Return the tensor in its shape: for the small ones."""
        import torch

        blocks = list(self.rows()) or [torch.empty(0, dtype=getattr(torch, TYPES[self.type]))]
        return (blocks[0] if len(blocks) == 1 else torch.cat(blocks)).reshape(self.shape)


@dataclass(frozen=True)
class ToWrite:
    """A tensor to be written: its rows are made when it is its turn, and in `type` already."""

    name: str
    type: str
    shape: tuple[int, ...]
    rows: Callable[[], Iterator[Tensor]]

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes in a file."""
        return prod(self.shape) * self.element_bytes

    @property
    def element_bytes(self) -> int:
        """Bytes of one element."""
        import torch

        dtype: torch.dtype = getattr(torch, TYPES[self.type])
        return dtype.itemsize


def stored(folder: Path) -> dict[str, Stored]:
    """Return the tensors in the weight files of a folder, by name. Raises UserError for a broken file."""
    return {one.name: one for file in weight_files(folder) for one in stored_in(file)}


def stored_in(file: Path) -> list[Stored]:
    """Return the tensors of one file. Raises UserError for a broken one."""
    safetensors_header(file)  # the library checks that they lie within the file, and that none overlap
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
        header: dict[str, Any] = json.loads(stream.read(length))
    tensors = []
    for name, stated in header.items():
        if name != "__metadata__":
            start, end = stated["data_offsets"]
            shape = tuple(stated["shape"])
            tensors.append(Stored(file, name, stated["dtype"], shape, LENGTH_BYTES + length + start, end - start))
    return tensors


def row_blocks(n_rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield the first row and the row after the last one of each block of a matrix."""
    step = max(1, BLOCK_ELEMENTS // max(1, width))
    for first in range(0, n_rows if width else 0, step):
        yield first, min(first + step, n_rows)


def rows_and_width(shape: Sequence[int]) -> tuple[int, int]:
    """Return how many rows a tensor has, and how many elements each."""
    return (shape[0], prod(shape[1:])) if shape else (1, 1)


def write_weights(folder: Path, tensors: Sequence[ToWrite]) -> dict[str, str]:
    """Write tensors to safetensors files, with an index where they take more than one; return each file's sha256."""
    # Formats of more bytes first, as the library writes them: then all elements lie at multiples of their size.
    shards = _shards(sorted(tensors, key=lambda tensor: -tensor.element_bytes))
    if len(shards) == 1:
        return {SINGLE: _write_file(folder / SINGLE, shards[0])}
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    checksums = {name: _write_file(folder / name, shard) for name, shard in zip(names, shards, strict=True)}
    index = {
        "metadata": {"total_size": sum(tensor.size_bytes for tensor in tensors)},
        "weight_map": {one.name: name for name, shard in zip(names, shards, strict=True) for one in shard},
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return checksums


def _shards(tensors: Sequence[ToWrite]) -> list[list[ToWrite]]:
    shards: list[list[ToWrite]] = [[]]
    size_bytes = 0
    for tensor in tensors:
        if shards[-1] and size_bytes + tensor.size_bytes > SHARD_BYTES:
            shards.append([])
            size_bytes = 0
        shards[-1].append(tensor)
        size_bytes += tensor.size_bytes
    return shards


def _write_file(path: Path, tensors: Sequence[ToWrite]) -> str:
    import torch

    with HashedFile(path) as file:
        file.write(_header(tensors))
        for tensor in tensors:
            written = 0
            for block in tensor.rows():
                content = block.contiguous().view(-1).view(torch.uint8).numpy().data
                file.write(content)
                written += content.nbytes
            if written != tensor.size_bytes:
                raise RuntimeError(f"{path}: {tensor.name} has {written:,} bytes, its shape {tensor.size_bytes:,}")
        return file.sha256


def _header(tensors: Sequence[ToWrite]) -> bytes:
    described: dict[str, Mapping[str, object]] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + tensor.size_bytes
        described[tensor.name] = {"dtype": tensor.type, "shape": tensor.shape, "data_offsets": (start, end)}
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def _read_at(handle: int, into: memoryview, offset: int) -> None:
    """Fill a buffer from a position: one call reads 2 GiB at most. Raises OSError where the file ends before."""
    while into:
        n_bytes = os.preadv(handle, [into], offset)
        if not n_bytes:
            raise OSError("the file was cut short while it was read")
        into, offset = into[n_bytes:], offset + n_bytes
