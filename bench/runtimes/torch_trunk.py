"""Evaluate blocks of a forest in a transformers model: one row of tokens, and a mask that tells the paths apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from bench.forest import Block

Forward = Callable[..., Any]


class Trunk:
    """The keys and values of one path, kept from block to block."""

    def __init__(self, model: Any) -> None:
        self._cache = DynamicCache()  # without the config, so that no layer drops what its window has passed
        self._model = model
        self._windows = sliding_windows(model.config)

    def evaluate(self, block: Block, forward: Forward) -> Tensor:
        """Evaluate a block behind the trunk and keep the next one's; return its rows' logits (rows, vocabulary)."""
        device = self._model.device
        if block.trunk == 0:
            self._cache = DynamicCache()
        sees = torch.as_tensor(visible(block), device=device)
        positions = torch.as_tensor(block.positions, dtype=torch.long, device=device)
        rows = (
            block.rows if len(block.rows) else np.zeros(1, dtype=np.int64)
        )  # an empty choice means all to transformers
        output = forward(
            torch.as_tensor(block.tokens, dtype=torch.long, device=device)[None],
            attention_mask=self._mask(sees, positions),
            position_ids=positions[None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=torch.as_tensor(rows, dtype=torch.long, device=device),
        )
        self._keep(block, device)
        logits: Tensor = output.logits[0]
        return logits[: len(block.rows)]

    def _mask(self, sees: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the additive mask (1, 1, tokens, trunk + tokens), or one per kind of layer where they differ."""

        def additive(seen: Tensor) -> Tensor:
            dtype = self._model.dtype
            hidden = torch.finfo(dtype).min
            return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, hidden)[None, None]

        if not self._windows:
            return additive(sees)
        trunk = sees.shape[1] - len(positions)
        behind = torch.cat([torch.arange(trunk, device=positions.device), positions])
        distance = positions[:, None] - behind[None]
        masks = {
            kind: additive(sees if window is None else sees & (distance < window))
            for kind, window in self._windows.items()
        }
        return masks if hasattr(self._model.config, "layer_types") else next(iter(masks.values()))

    def _keep(self, block: Block, device: Any) -> None:
        """Keep of the cache what the next block's trunk needs, in the order of its positions."""
        last = block.n_paths - 1
        of_trunk = min(int(block.trunk_seen[last]), block.next_trunk)
        own = np.flatnonzero((block.last_path == last) & (block.positions < block.next_trunk))
        places = np.concatenate([np.arange(of_trunk), block.trunk + own])
        kept = torch.as_tensor(places, dtype=torch.long, device=device)
        layers: list[Any] = self._cache.layers
        for layer in layers:
            if not hasattr(layer, "keys"):
                raise RuntimeError(
                    "this model has recurrent layers: what they hold of a shared prefix cannot be reused"
                )
            layer.keys, layer.values = layer.keys.index_select(2, kept), layer.values.index_select(2, kept)


def visible(block: Block) -> Any:
    """Return which of trunk and block each token sees, as booleans (tokens, trunk + tokens).

    A token sees those before it whose paths include its own: paths are nested or apart.
    """
    trunk = np.arange(block.trunk)[None] < block.trunk_seen[block.first_path][:, None]
    first, position = block.first_path, block.positions
    own = (
        (first[None] <= first[:, None])
        & (first[:, None] <= block.last_path[None])
        & (position[None] <= position[:, None])
    )
    return np.concatenate([trunk, own], axis=1)


def sliding_windows(config: Any) -> dict[str, int | None]:
    """Return the attention window of each kind of layer, None for full attention; empty where no layer has one."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if not window or getattr(config, "use_sliding_window", True) is False:
        return {}
    if kinds is None:
        return {"all": int(window)}
    found = {kind: int(window) if "sliding" in kind else None for kind in dict.fromkeys(kinds)}
    return found if any(found.values()) else {}
