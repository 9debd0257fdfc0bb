"""The header of a GGUF file (its format: docs/gguf.md of ggml), read in one pass over its bytes.

The gguf package makes numpy views of each of its values: 2 to 5 seconds for a vocabulary of 128 K, at every build and
opening. Here values are passed over, and only where tensors lie is kept.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

MAGIC, VERSIONS = b"GGUF", (2, 3)
VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""The bytes of one value, by the number of its type; texts and arrays are apart."""
U32, TEXT, ARRAY = 4, 8, 9
ALIGNMENT, DEFAULT_ALIGNMENT = b"general.alignment", 32
MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a GGUF file: `shape` as the file has it, the length of a row first."""

    name: str
    type: str
    shape: tuple[int, ...]
    n_bytes: int

    @property
    def n_elements(self) -> int:
        """The number of its elements."""
        return prod(self.shape)


def stored_tensors(path: Path) -> list[StoredTensor]:
    """List the tensors of a GGUF file. Raises ValueError unless the file is whole, OSError where it cannot be read."""
    with path.open("rb") as file:
        if file.seek(0, 2) < len(MAGIC):
            raise ValueError("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Header(content).tensors()


class _Header:
    """A place in the bytes of a file, from which values are read one after another."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._at = 0

    def tensors(self) -> list[StoredTensor]:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        if self._taken(len(MAGIC)) != MAGIC:
            raise ValueError("it does not begin as one")
        (version,) = self._numbers("I")
        if version not in VERSIONS:
            raise ValueError(f"version {version}, allowed: {', '.join(map(str, VERSIONS))}")
        n_tensors, n_values = self._numbers("QQ")
        alignment = DEFAULT_ALIGNMENT
        for _ in range(n_values):
            alignment = self._value() or alignment
        listed, end = [], 0
        for _ in range(n_tensors):
            name = self._text().decode()
            (n_dimensions,) = self._numbers("I")
            if n_dimensions > MOST_DIMENSIONS:
                raise ValueError(f"tensor {name}: {n_dimensions} dimensions")
            shape = self._numbers(f"{n_dimensions}Q")
            number, offset = self._numbers("IQ")
            kind = GGMLQuantizationType(number)
            block, block_bytes = GGML_QUANT_SIZES[kind]
            n_bytes = prod(shape) // block * block_bytes
            listed.append(StoredTensor(name, kind.name, shape, n_bytes))
            end = max(end, offset + n_bytes)
        data = -(-self._at // alignment) * alignment
        if n_tensors and data + end > len(self._content):
            raise ValueError(f"{len(self._content):,} bytes, its header promises {data + end:,}")
        return listed

    def _value(self) -> int | None:
        """Pass over a key and its value; return the value of the alignment."""
        key = self._text()
        (kind,) = self._numbers("I")
        if key == ALIGNMENT and kind == U32:
            (alignment,) = self._numbers("I")
            if alignment < 1:
                raise ValueError("its alignment is 0")
            return int(alignment)
        self._pass_over(kind, 1)
        return None

    def _pass_over(self, kind: int, count: int) -> None:
        if kind == TEXT:
            for _ in range(count):
                self._text()
        elif kind == ARRAY:
            for _ in range(count):
                of, length = self._numbers("IQ")
                if of == ARRAY:
                    raise ValueError("an array of arrays")
                self._pass_over(of, length)
        else:
            self._move(VALUE_BYTES[kind] * count)

    def _text(self) -> bytes:
        (length,) = self._numbers("Q")
        return self._taken(length)

    def _numbers(self, layout: str) -> tuple[int, ...]:
        start = self._at
        self._move(struct.calcsize(f"<{layout}"))
        return struct.unpack_from(f"<{layout}", self._content, start)

    def _taken(self, length: int) -> bytes:
        start = self._at
        self._move(length)
        return self._content[start : self._at]

    def _move(self, length: int) -> None:
        self._at += length
        if self._at > len(self._content):
            raise ValueError(f"{len(self._content):,} bytes, its header goes on")
