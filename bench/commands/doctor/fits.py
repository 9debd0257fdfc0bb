"""Which variants of a plan fit the memory that is here: weights and the cache of keys and values, before a build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.commands.doctor.check import Check, gigabytes
from bench.machine.gpu import chosen_gpus, free_bytes
from bench.runtimes.transformers import Transformers
from bench.sweep.cell import Cell
from bench.sweep.grid import plan_sweep
from bench.sweep.request import parse
from variants.errors import UserError
from variants.process import available_bytes
from variants.safety.files import read_json
from variants.weights import tensors

KV_BYTES = {"f16": 2, "f32": 4, "float32": 4}
"""Bytes of one value of the cache; 2 of any other type."""


@dataclass(frozen=True)
class Place:
    """A card, or the machine's memory: `free_bytes` may be less than it could be, `total_bytes` is what there is."""

    name: str
    free_bytes: int
    total_bytes: int


def fits(overrides: Sequence[str]) -> list[Check]:
    """Plan as `bench run` does, fetching and building nothing; return a line for each place."""
    try:
        cells = [cell for cell in plan_sweep(parse(overrides)).cells if cell.round == 0]
    except UserError as error:
        return [Check("plan", str(error), "bad")]
    needed = {cell.variant: needed_bytes(cell) for cell in cells}
    return [_compared(place, needed) for place in places(cells[0])]


def places(cell: Cell) -> Iterator[Place]:
    """Yield where the models of a plan may lie: the cards that it may use, or memory."""
    for i, gpu in enumerate(chosen_gpus(cell.settings.device)):
        yield Place(f"cuda:{i}", free_bytes(gpu), gpu.total_bytes)
    if cell.device == "cpu":
        yield Place("memory", available_bytes(), cell.machine.memory_bytes)


def _compared(place: Place, needed: dict[str, int]) -> Check:
    largest = sorted(needed, key=lambda name: -needed[name])
    listed = [f"{name} {gigabytes(needed[name])}" for name in largest if needed[name] <= place.free_bytes]
    busy = [name for name in largest if place.free_bytes < needed[name] <= place.total_bytes]
    never = [name for name in largest if needed[name] > place.total_bytes]
    parts = [f"of {gigabytes(place.free_bytes)} free: {', '.join(listed) or 'no variant'}"]
    for names, text in ((busy, "not while other programs use it"), (never, "too large")):
        if names:
            parts.append(f"{text}: {', '.join(f'{name} {gigabytes(needed[name])}' for name in names)}")
    return Check(f"fit {place.name}", "; ".join(parts), "bad" if never else "note" if busy else "ok")


def needed_bytes(cell: Cell) -> int:
    """Estimate the memory that a variant takes when it is opened: its weights, and keys and values of its context."""
    folder = cell.settings.model_folder
    n_parameters = sum(tensor.n_elements for tensor in tensors(folder))
    total_bytes = 0
    for planned in reversed(cell.chain):
        if isinstance(cell.runtime, Transformers) and planned.step.gives == "hf":
            total_bytes += n_parameters * (4 if cell.device == "cpu" else 2)
        else:
            total_bytes += planned.step.expected_bytes(n_parameters)
        if planned.step.gives != "adapter":  # which lies on its parent
            break
    return total_bytes + _cache_bytes(cell, folder)


def _cache_bytes(cell: Cell, folder: Path) -> int:
    """Return the bytes of the keys and values of one context; 0 where the model's config does not give its shape."""
    config = read_json(folder / "config.json")
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) else config

    def number(*names: str) -> int:
        return next((value for name in names if isinstance(value := text.get(name), int)), 0)

    heads, hidden = number("num_attention_heads", "n_head"), number("hidden_size", "n_embd")
    width = number("head_dim") or (hidden // heads if heads else 0)
    runtime = cell.settings.runtime[cell.settings.variant.runtime]
    stated = [runtime.get(name) for name in ("kv_type", f"dtype_{cell.device}")]
    n_bytes = next((KV_BYTES.get(str(one), 2) for one in stated if one), 2)
    n_ctx = min(int(str(runtime["n_ctx"])), number("max_position_embeddings", "n_positions") or 2**31)
    layers = number("num_hidden_layers", "n_layer")
    return 2 * layers * (number("num_key_value_heads") or heads) * width * n_ctx * n_bytes
