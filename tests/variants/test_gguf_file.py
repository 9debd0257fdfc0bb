"""The header of a GGUF file as we read it, and as the gguf package does."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make
from variants.errors import UserError
from variants.storage.gguf_file import stored_tensors
from variants.weights import gguf_header


@pytest.mark.parametrize("steps", [["source", "gguf"], ["source", "gguf", "q4"]])
def test_the_tensors_are_those_that_the_gguf_package_lists(
    cache: Path, catalogue: dict[str, dict[str, Any]], steps: list[str]
) -> None:
    from gguf import GGUFReader

    path = make(cache, catalogue, steps).gguf()
    expected = [
        (t.name, t.tensor_type.name, tuple(map(int, t.shape)), int(t.n_bytes)) for t in GGUFReader(path).tensors
    ]
    assert [(one.name, one.type, one.shape, one.n_bytes) for one in stored_tensors(path)] == expected


def test_a_header_that_promises_more_than_there_is_costs_no_memory_and_no_time(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    text = struct.pack("<Q", 1) + b"k"
    huge = 2**62
    for content in (
        struct.pack("<QQ", huge, 0),
        struct.pack("<QQ", 0, huge),
        struct.pack("<QQ", 0, 1) + struct.pack("<Q", huge),
        struct.pack("<QQ", 0, 1) + text + struct.pack("<IIQ", 9, 8, huge),
        struct.pack("<QQ", 0, 1) + text + struct.pack("<IIQ", 9, 9, huge),
        struct.pack("<QQ", 0, 1) + text + struct.pack("<I", 77),
        struct.pack("<QQ", 1, 0) + text + struct.pack("<I", 99),
        struct.pack("<QQ", 1, 0) + text + struct.pack("<IQIQ", 1, huge, 0, 0),
        struct.pack("<QQ", 1, 0) + text + struct.pack("<IQIQ", 1, 8, 4242, 0),
    ):
        path.write_bytes(b"GGUF" + struct.pack("<I", 3) + content)
        with pytest.raises(UserError, match=r"model.gguf: not a complete GGUF file"):
            gguf_header(path)
