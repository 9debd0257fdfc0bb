"""How many tokens a block of a transformers model may have, so that what is computed of it fits the memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from bench.runtimes.on_gpu.path_attention import head_size

EAGER_VALUE_BYTES, EAGER_BYTES = 11, 4 * 10**9
"""What eager attention takes for a head, a token and a key at its peak, measured on a CPU, and the most for a layer."""
MASK_BYTES = 2**29
"""The most that a mask on a GPU takes, with the booleans that it is made of: 3 bytes for a token and a key."""
ALIGNED_BYTES = 16
"""torch's memory-efficient attention reads heads by so many bytes; it leaves others to a product of all scores."""
LEAST_TOKENS = 256
"""What a block may have however little memory a card has beside the weights."""


def block_tokens(model: PreTrainedModel, with_masks: bool, wanted: int, longest: int) -> int:
    """Return how many tokens a block may have behind `longest` others: `wanted`, halved until it fits.

    Eager attention holds a score for each head, token and key, and a mask a number for each token and key. On one GPU
    keys, values and activations take half of what the weights leave; the rest is for logits and keys that are copied.
    That is counted of the whole card: what else is on it now must not change the numbers of a block.
    """
    config = model.config.get_text_config()
    on_gpu = model.device.type == "cuda"
    limits: list[Callable[[int], bool]] = []
    if with_masks and _holds_scores(model):
        pair = EAGER_VALUE_BYTES * int(config.num_attention_heads)
        limits.append(lambda tokens: pair * tokens * (longest + tokens) <= EAGER_BYTES)
    if with_masks and on_gpu:
        masked = model.dtype.itemsize + 3
        limits.append(lambda tokens: masked * tokens * (longest + tokens) <= MASK_BYTES)
    if on_gpu and len({parameter.device for parameter in model.parameters()}) == 1:
        half = (torch.cuda.get_device_properties(model.device).total_memory - _weight_bytes(model)) // 2
        kept, passing = _bytes_of_a_token(model)
        limits.append(lambda tokens: tokens <= LEAST_TOKENS or kept * (longest + tokens) + passing * tokens <= half)
    tokens = wanted
    while tokens > 1 and not all(fits(tokens) for fits in limits):
        tokens //= 2
    return tokens


def _holds_scores(model: PreTrainedModel) -> bool:
    """Return whether attention with a mask makes all its scores at once."""
    if model.config._attn_implementation == "eager":
        return True
    return model.device.type == "cuda" and head_size(model.config) * model.dtype.itemsize % ALIGNED_BYTES != 0


def _weight_bytes(model: PreTrainedModel) -> int:
    return sum(parameter.numel() * parameter.itemsize for parameter in model.parameters())


def _bytes_of_a_token(model: PreTrainedModel) -> tuple[int, int]:
    """Return the bytes of a token's keys and values in all layers, and about those that a layer computes of it."""
    config = model.config.get_text_config()
    key_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    stated = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    inner = max(stated) if isinstance(stated, list | tuple) else stated  # of each layer
    kept = 2 * config.num_hidden_layers * key_heads * head_size(config)
    return kept * model.dtype.itemsize, (8 * config.hidden_size + 3 * inner) * model.dtype.itemsize
