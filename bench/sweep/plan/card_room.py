"""Whether the variants of a plan fit the cards or the memory, before anything is built, and what would fit instead."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine.gpu import Gpu, chosen_gpus, usable_gpus
from bench.sweep.plan.cell import Cell
from bench.sweep.plan.settings import Settings
from variants.errors import UserError
from variants.process import gigabytes, memory_bytes
from variants.safety.files import read_json
from variants.step import Planned
from variants.weights import Tensor, tensors

MARGIN_BYTES = 10**9
"""What CUDA's context, its kernels and the buffers of one evaluation take of every card, at least."""
SCORING_BYTES = 4 * 10**9
"""What llama.cpp takes for a block of BLOCK_TOKENS: values between layers, logits, and one matrix in 16 bits.

It is less in models of which two fit the largest cards.
"""
BLOCK_TOKENS = 2048
FORMAT_BYTES = {"float32": 4, "f32": 4}
"""The bytes of a number in each format of weights and caches that is not one of 16 bits."""
PACKED_BITS = {"nf4": 4.13, "int8": 8.0}
"""The bits of a weight that is packed, scales included; tables of tokens stay in 16 bits or more."""
TABLE = re.compile(r"embed|lm_head|\bwte\b|\bwpe\b")
TRAINING_FORMAT: Mapping[str, str] = {"cuda": "bfloat16", "cpu": "float32"}


@dataclass(frozen=True)
class Dimensions:
    """What the memory of a model depends on: its tensors and its config.json. They are known before a model is made."""

    tensors: Sequence[Tensor]
    config: Mapping[str, object]

    @classmethod
    def of(cls, folder: Path) -> Dimensions:
        """Read them from a model folder: the headers of its weights, and its configuration."""
        return cls(tensors(folder), read_json(folder / "config.json"))

    @property
    def n_parameters(self) -> int:
        """Return the number of weights."""
        return sum(tensor.n_elements for tensor in self.tensors)


@dataclass(frozen=True)
class Need:
    """The memory that serving or training takes at least; `cache_bytes` is that of the keys and values of a context."""

    what: str
    weight_bytes: int
    cache_bytes: int = 0
    is_served: bool = False

    @property
    def n_bytes(self) -> int:
        """Return the sum, without the margin that every card needs."""
        return self.weight_bytes + self.cache_bytes

    def fits(self, cards: Sequence[Gpu]) -> bool:
        """Say whether this fits the cards together, or without any the memory, of which nothing is kept back."""
        return self.n_bytes <= (sum(gpu.total_bytes - MARGIN_BYTES for gpu in cards) if cards else memory_bytes())

    def stated(self, cards: Sequence[Gpu]) -> str:
        """Return in words what this takes, and of what."""
        cache = f", keys and values of a full context {gigabytes(self.cache_bytes)}" if self.cache_bytes else " alone"
        margin = f", and {gigabytes(MARGIN_BYTES)} a card for CUDA" if cards else ""
        return f"{self.what}: needs {self.amount(cards)} (weights {gigabytes(self.weight_bytes)}{cache}{margin})"

    def amount(self, cards: Sequence[Gpu]) -> str:
        """Return the amount in words, on cards with the margin of one."""
        return (
            f"{gigabytes(self.n_bytes + MARGIN_BYTES)} of GPU memory"
            if cards
            else f"{gigabytes(self.n_bytes)} of memory"
        )


def check_memory(cells: Sequence[Cell], model: Dimensions, new: Mapping[str, Planned]) -> None:
    """Raise UserError for the first variant that there is too little memory for, with what would fit.

    `new` are, by fingerprint, the steps that a run of these cells builds. It counts weights, the keys and values of a
    full context, and on cards a margin; of training the weights alone. So what passes may still be too large. Without
    a split every card has to have the room, because any of them may be given. The memory of other machines, where the
    launcher has several, is not known.
    """
    settings = cells[0].settings
    cards = chosen_gpus(settings.device)
    todo = list({cell.variant: cell for cell in cells if cell.finished() is None}.values())
    if _is_elsewhere(settings, cards):
        return
    lacking = {cell.variant: _lacking(cell, model, new, cards) for cell in todo}
    fitting = [name for name, need in lacking.items() if need is None]
    for cell in todo:
        if need := lacking[cell.variant]:
            on = _on(cell, cards) if need.is_served else _smallest(cards)
            there = " and ".join(f"{gpu.name} with {gigabytes(gpu.total_bytes)}" for gpu in on) or gigabytes(
                memory_bytes()
            )
            ways = _alternatives(cell, need, model, new, fitting)
            raise UserError(f"{need.stated(on)}; there is {there}. What fits: {ways}")


def _is_elsewhere(settings: Settings, cards: Sequence[Gpu]) -> bool:
    """Say whether a sweep may run in the memory of machines that are not known here."""
    return not cards and settings.spans_machines


def _lacking(cell: Cell, model: Dimensions, new: Mapping[str, Planned], cards: Sequence[Gpu]) -> Need | None:
    """Return what a cell needs and does not get: for serving, or else for a training that is still to run."""
    device = "cuda" if cards else "cpu"
    serving, training = served(cell, model, device), trained(cell, model, device, new)
    if not serving.fits(_on(cell, cards)):
        return serving
    return training if training and not training.fits(_smallest(cards)) else None


def _on(cell: Cell, cards: Sequence[Gpu]) -> Sequence[Gpu]:
    """Return what the model of a cell has to fit: all cards with a split, else the smallest; none on a CPU."""
    return cards if cell.settings.spread == "layers" else _smallest(cards)


def _smallest(cards: Sequence[Gpu]) -> Sequence[Gpu]:
    return sorted(cards, key=lambda gpu: gpu.total_bytes)[:1]


def too_large(cells: Sequence[Cell], model: Dimensions, optional: Collection[str]) -> dict[str, str]:
    """Return, by variant, why the memory is too small for those that a suite measures only where they fit.

    It counts as `check_memory` does. Raises UserError where no variant is left.
    """
    cards = chosen_gpus(cells[0].settings.device)
    if _is_elsewhere(cells[0].settings, cards):
        return {}
    asked = {cell.variant: cell for cell in cells if cell.variant in optional}
    reasons = {}
    for name, cell in asked.items():
        need, on = served(cell, model, cell.device), _on(cell, cards)
        there = " and ".join(f"{gpu.name} has {gigabytes(gpu.total_bytes)}" for gpu in on)
        if not need.fits(on):
            reasons[name] = (
                f"it needs {need.amount(on)}, and {there or f'this machine has {gigabytes(memory_bytes())}'}"
            )
    if all(cell.variant in reasons for cell in cells):
        raise UserError(f"suite.variants: none fits: {'; '.join(reasons.values())}")
    return reasons


def served(cell: Cell, model: Dimensions, device: str) -> Need:
    """Return what serving a variant takes: its weights in the runtime's format, keys and values of a context."""
    fields = cell.settings.runtime[cell.settings.variant.runtime]
    computes_in = str(fields.get(f"dtype_{device}", "f16"))
    return Need(
        f"variant {cell.variant}",
        weight_bytes(cell.chain, model.tensors, computes_in),
        cache_bytes(model.config, int(fields.get("n_ctx", 0)), str(fields.get("kv_type", computes_in))),
        is_served=True,
    )


def scoring_bytes(runtime: Mapping[str, object], weights: int, model: Dimensions, contexts: int) -> int:
    """Return what scoring in llama.cpp takes of a card at most; 0 where that is not known.

    That is its `weights` (bytes), the margin, and for each of the `contexts` that score side by side its keys and
    values, those of a block, and the block itself. One context more is made for an instant, before any is at work.
    It is not known where the model's configuration does not size its keys, and without flash attention.
    """
    context, block = (int(str(runtime[name])) for name in ("n_ctx", "score_tokens_cuda"))
    one_token = cache_bytes(model.config, 1, str(runtime["kv_type"]))
    if not one_token or runtime["flash_attention"] == "off":
        return 0
    blocks = SCORING_BYTES * max(BLOCK_TOKENS, block) // BLOCK_TOKENS
    return weights + contexts * ((context + block) * one_token + blocks) + MARGIN_BYTES


def trained(cell: Cell, model: Dimensions, device: str, new: Mapping[str, Planned]) -> Need | None:
    """Return the weights that training of a variant holds, a lower bound; None where nothing is to be trained."""
    for place, planned in enumerate(cell.chain):
        if planned.step.role == "finetune" and planned.fingerprint in new:
            n_bytes = weight_bytes(cell.chain[:place], model.tensors, TRAINING_FORMAT[device])
            return Need(f"step {planned.name} of variant {cell.variant}", n_bytes)
    return None


def weight_bytes(chain: Sequence[Planned], stored: Sequence[Tensor], computes_in: str) -> int:
    """Return the bytes of the weights that a chain of steps makes, as they lie on the device."""
    kind, step = chain[-1].step.gives, chain[-1].step
    n_parameters = sum(tensor.n_elements for tensor in stored)
    each = FORMAT_BYTES.get(computes_in, 2)
    if kind == "adapter":
        return weight_bytes(chain[:-1], stored, computes_in) + step.expected_bytes(n_parameters)
    if kind in PACKED_BITS:
        tables = sum(tensor.n_elements for tensor in stored if TABLE.search(tensor.name))
        return tables * each + int((n_parameters - tables) * PACKED_BITS[kind] / 8)
    return n_parameters * each if kind == "hf" else step.expected_bytes(n_parameters)


def cache_bytes(config: Mapping[str, object], n_ctx: int, kept_in: str) -> int:
    """Return the bytes of the keys and values of a context; 0 where the model's configuration does not say."""
    text = config.get("text_config")
    stated = text if isinstance(text, dict) else config

    def number(name: str, otherwise: int = 0) -> int:
        value = stated.get(name)
        return value if isinstance(value, int) and value > 0 else otherwise

    heads = number("num_attention_heads")
    head_dim = number("head_dim", number("hidden_size") // heads if heads else 0)
    n_values = 2 * number("num_hidden_layers") * number("num_key_value_heads", heads) * head_dim
    return n_values * min(n_ctx, number("max_position_embeddings", n_ctx)) * FORMAT_BYTES.get(kept_in, 2)


def _alternatives(cell: Cell, need: Need, model: Dimensions, new: Mapping[str, Planned], fitting: Sequence[str]) -> str:
    """Return in words what would fit in place of a variant; `fitting` are the variants of the plan that do."""
    cards, usable = chosen_gpus(cell.settings.device), usable_gpus()
    together = cards and cell.settings.spread == "none" and need.is_served and len(usable) > 1 and need.fits(usable)
    one_card = cards and cell.settings.spread == "none" and not cell.settings.spans_machines
    on_card = served(cell, model, "cuda"), trained(cell, model, "cuda", new)
    fitted = (i for i, gpu in enumerate(usable) if one_card and all(one.fits((gpu,)) for one in on_card if one))
    roomy = next(fitted, None)
    on_cpu = served(cell, model, "cpu"), trained(cell, model, "cpu", new)
    ways = [
        f"variant={','.join(fitting)}" if fitting else "",
        f"device=cuda:{roomy}" if roomy is not None else "",
        f"split=layers on {len(usable)} cards" if together and not any(gpu.is_mig for gpu in usable) else "",
        "device=cpu" if cards and all(one.fits(()) for one in on_cpu if one) else "",
    ]
    return "; ".join(filter(None, ways)) or "nothing of this plan here; take a smaller model, or one quantized further"
