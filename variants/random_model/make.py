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
from pathlib import Path
from typing import TYPE_CHECKING

from variants.model_folder import copy_tokenizer
from variants.paths import ROOT
from variants.random_model.shape import Shape
from variants.weights import INDEX

if TYPE_CHECKING:
    from torch import Tensor

REFERENCE = ROOT / "variants" / "reference"
DEVIATION = 0.02
"""The spread of weights before training in GPT-2 and Llama (`initializer_range`): activations stay finite."""
SHARD_BYTES = 10**9
"""A shard is closed once it holds this much: no more than that and the largest tensor is in memory at once."""


def make(shape: Shape, folder: Path, device: str) -> None:
    """Write config, tokenizer and sharded weights into a folder that exists and is empty.

    Each tensor is drawn on `device` from a seed of its own name, so that the order of the others has no say in it. The
    numbers of a GPU are others than those of a CPU. The tokenizer is the embedded model's: the rows of the embedding
    table beyond its 2,048 tokens belong to no text, as the reserved tokens of a published model.
    """
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2) + "\n", encoding="utf-8")
    copy_tokenizer(REFERENCE, folder)
    places: dict[str, str] = {}
    for number, shard in enumerate(_shards(shape, device), 1):
        name = f"model-{number:05d}.safetensors"
        _save(shard, folder / name)
        places |= dict.fromkeys(shard, name)
    index = {"metadata": {"total_size": shape.n_bytes}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _shards(shape: Shape, device: str) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors of each file in turn."""
    shard: dict[str, Tensor] = {}
    n_bytes = 0
    for name, dimensions in shape.tensors:
        shard[name] = tensor = _drawn(shape.seed, name, dimensions, device)
        n_bytes += tensor.nbytes
        if n_bytes >= SHARD_BYTES:
            yield shard
            shard, n_bytes = {}, 0
    if shard:
        yield shard


def _drawn(seed: int, name: str, dimensions: tuple[int, ...], device: str) -> Tensor:
    """Draw one tensor in bfloat16; the gains of norms, which have one dimension, are 1."""
    import torch

    if len(dimensions) == 1:
        return torch.ones(dimensions, dtype=torch.bfloat16)
    own = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big")
    generator = torch.Generator(device).manual_seed(own)
    drawn = torch.empty(dimensions, dtype=torch.bfloat16, device=device)
    return drawn.normal_(0.0, DEVIATION, generator=generator).cpu()


def _save(shard: dict[str, Tensor], file: Path) -> None:
    from safetensors.torch import save_file

    save_file(shard, file, metadata={"format": "pt"})
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
