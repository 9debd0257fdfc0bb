"""Weights as views of their files: read when something computes with them, and given back when it has."""

from __future__ import annotations

import mmap
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from variants.storage.tensors import TYPES, stored_in
from variants.weights import weight_files

if TYPE_CHECKING:
    from torch import Tensor

NO_RESERVE = 0x4000 if sys.platform == "linux" else 0
"""Linux's MAP_NORESERVE, which Python's mmap does not name before 3.13."""


@dataclass(frozen=True)
class _Mapping:
    """A file in memory: its pages are the system's until they are read, and its address says which tensors it has."""

    content: mmap.mmap
    bytes: Tensor

    @classmethod
    def of(cls, file: Path) -> _Mapping:
        import torch

        with file.open("rb") as stream:
            # Copied on write: torch wants memory that it may write to, and no write may reach an artifact.
            # Nothing is written, so no memory is set aside for copies: a file may be larger than all there is.
            content = mmap.mmap(stream.fileno(), 0, flags=mmap.MAP_PRIVATE | NO_RESERVE)
        return cls(content, torch.frombuffer(content, dtype=torch.uint8))

    def give_back(self, first: int, last: int) -> None:
        """Unmap the pages of some bytes, counted from the first of the file; they are read again when needed."""
        start = first - first % mmap.PAGESIZE
        self.content.madvise(mmap.MADV_DONTNEED, start, min(last, len(self.content)) - start)


class MappedWeights:
    """The tensors in the weight files of a folder, by name, none of them in memory.

    A tensor that is read takes memory of this process until it is given back: the peak of a process counts it, though
    the system could take it back.
    """

    def __init__(self, folder: Path) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._mappings: list[_Mapping] = []
        for file in weight_files(folder):
            self._add(file)

    def _add(self, file: Path) -> None:
        import torch

        tensors, mapping = stored_in(file), _Mapping.of(file)
        self._mappings.append(mapping)
        for one in tensors:
            dtype: torch.dtype = getattr(torch, TYPES[one.type])
            part = mapping.bytes[one.start : one.start + one.size_bytes]
            aligned = part.clone() if one.start % dtype.itemsize else part
            self.tensors[one.name] = aligned.view(dtype).view(one.shape)

    def give_back(self, tensor: Tensor) -> None:
        """Give the memory of a tensor back, where it is a view of these files and nothing was written to it."""
        address = tensor.data_ptr()
        for mapping in self._mappings:
            first = address - mapping.bytes.data_ptr()
            if 0 <= first < mapping.bytes.nbytes and hasattr(mmap, "MADV_DONTNEED"):
                mapping.give_back(first, first + tensor.nbytes)
