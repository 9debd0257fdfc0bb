"""Make a model of random weights: `python -m variants.random_model.make SHAPE.JSON FOLDER DEVICE`.

It is a process of its own: the process that plans a sweep has loaded llama.cpp, and some builds crash in one process
with torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from variants.model_folder import copy_tokenizer
from variants.paths import ROOT
from variants.random_model.shape import Shape
from variants.storage.tensors import ToWrite, write_weights

if TYPE_CHECKING:
    from torch import Tensor

REFERENCE = ROOT / "variants" / "reference"
DEVIATION = 0.02
"""The spread of weights before training in GPT-2 and Llama (`initializer_range`): activations stay finite."""


def make(shape: Shape, folder: Path, device: str) -> None:
    """Write config, tokenizer and sharded weights into a folder that exists and is empty.

    Each tensor is drawn on `device` from a seed of its own name, so that the order of the others has no say in it. The
    numbers of a GPU are others than those of a CPU. The tokenizer is the embedded model's: the rows of the embedding
    table beyond its 2,048 tokens belong to no text, as the reserved tokens of a published model.
    """
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2) + "\n", encoding="utf-8")
    copy_tokenizer(REFERENCE, folder)
    tensors = [
        ToWrite(name, "BF16", dimensions, partial(_drawn, shape.seed, name, dimensions, device))
        for name, dimensions in shape.tensors
    ]
    for file in write_weights(folder, tensors):
        _finish(folder / file)


def _drawn(seed: int, name: str, dimensions: tuple[int, ...], device: str) -> Iterator[Tensor]:
    """Draw one tensor in bfloat16, as a whole; the gains of norms, which have one dimension, are 1."""
    import torch

    if len(dimensions) == 1:
        yield torch.ones(dimensions, dtype=torch.bfloat16)
        return
    own = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big")
    generator = torch.Generator(device).manual_seed(own)
    drawn = torch.empty(dimensions, dtype=torch.bfloat16, device=device)
    yield drawn.normal_(0.0, DEVIATION, generator=generator).cpu()


def _finish(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)  # the folder gets its name when its files are on the disk
        os.fchmod(handle, 0o444)  # never written again: what takes the model may link a file instead of copying it
    finally:
        os.close(handle)


def main(shape_file: str, folder: str, device: str) -> None:
    """Make the model that a file describes."""
    make(Shape(**json.loads(Path(shape_file).read_text(encoding="utf-8"))), Path(folder), device)


if __name__ == "__main__":
    main(*sys.argv[1:])
