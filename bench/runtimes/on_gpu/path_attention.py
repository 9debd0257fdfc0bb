"""Attention of a block on a GPU without a mask: each path attends to its own keys, in FlashAttention.

A mask costs its own memory and hides most of what is computed behind it. Here the keys and values that a path sees are
copied next to each other, so that its tokens are an ordinary causal sequence, and all paths are evaluated in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel

from bench.runtimes.forest import Block
from bench.runtimes.transfer import to_device
from variants.load import caps_attention

NAME = "variantbench_paths"
"""What transformers calls this attention."""
COPIED_ROWS = 2**18
"""The most keys that are copied together: 1 GiB with their values for 8 heads of 128 numbers in 16 bits."""
LARGEST_HEAD = 256
OLDEST_CARD = (8, 0)
"""FlashAttention's limits in torch (torch.nn.attention.varlen); the second is Ampere's compute capability."""
KINDS = frozenset({"full_attention", "sliding_attention"})
"""The kinds of layers whose attention is causal within a window at most."""
NO_WINDOW = -1

Kernel = Callable[[Tensor, Tensor, Tensor, "Group", float | None, int], Tensor]


@dataclass(frozen=True)
class Group:
    """Some consecutive paths of a block, the tokens `first` to `last` - 1.

    Path p has the tokens from `starts[p]` to `starts[p + 1]`, counted from `first`, and sees the keys `places` from
    `key_starts[p]` to `key_starts[p + 1]` of trunk and block, in the order of their positions: its own are the last.
    Without `places` the keys lie in that order already.
    """

    first: int
    last: int
    starts: Tensor
    key_starts: Tensor
    places: Tensor | None
    longest: int
    most_keys: int

    def on(self, device: torch.device) -> Group:
        """Return the same group with its tensors on a device."""
        starts, key_starts = (to_device(one, device) for one in (self.starts, self.key_starts))
        places = None if self.places is None else to_device(self.places, device)
        return replace(self, starts=starts, key_starts=key_starts, places=places)


def can_attend(model: PreTrainedModel) -> bool:
    """Return whether a model's attention may be computed so: on GPUs, in 16 bits, causal, and left to this function."""
    config = model.config.get_text_config()
    heads = head_size(config)
    return (
        model.device.type == "cuda"
        and torch.cuda.get_device_capability(model.device) >= OLDEST_CARD
        and model.dtype in (torch.bfloat16, torch.float16)
        and bool(model._supports_attention_backend and model._supports_flash_attn)
        and heads <= LARGEST_HEAD
        and heads % 8 == 0
        and is_plain(config)
    )


def is_plain(config: PreTrainedConfig) -> bool:
    """Return whether all layers attend to all that is before a token, or to a window of it, by the softmax alone."""
    kinds = set(getattr(config, "layer_types", None) or [])
    return kinds <= KINDS and not caps_attention(config)


def head_size(config: PreTrainedConfig) -> int:
    """Return how many numbers the queries and keys of one attention head have."""
    config = config.get_text_config()
    stated = getattr(config, "qk_head_dim", None) or getattr(config, "head_dim", None)  # the first is DeepSeek's
    return int(stated or config.hidden_size // config.num_attention_heads)


def sliding_windows(config: PreTrainedConfig) -> dict[str, int | None]:
    """Return the attention window of each kind of layer, None for full attention; empty where no layer has one."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if not window or getattr(config, "use_sliding_window", True) is False:
        return {}
    if kinds is None:
        return {"all": int(window)}
    windows = {kind: int(window) if "sliding" in kind else None for kind in dict.fromkeys(kinds)}
    return windows if any(windows.values()) else {}


class PathAttention:
    """The attention of all layers for one block after another."""

    def __init__(self, kernel: Kernel | None = None, most_keys: int = 0) -> None:
        """Set what attends, and the most keys that a path may ever see; without them those of each block count."""
        self._kernel, self._most_keys = kernel or flash, most_keys
        self._groups: Sequence[Group] = []
        self._moved: dict[torch.device, list[Group]] = {}
        self._windows: dict[str, int | None] = {}
        self._kinds: Sequence[str] | None = None

    @contextmanager
    def at_work(self, model: PreTrainedModel, planned: Sequence[Group]) -> Iterator[None]:
        """Have a model attend as planned; afterwards it attends as before."""
        self._groups, self._moved = planned, {}
        config = model.config.get_text_config()
        self._windows, self._kinds = sliding_windows(config), getattr(config, "layer_types", None)
        AttentionInterface.register(NAME, self.attend)
        usual = model.config._attn_implementation
        model.config._attn_implementation = NAME
        try:
            yield
        finally:
            model.config._attn_implementation = usual

    def attend(
        self,
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        sliding_window: int | None = None,
        s_aux: Tensor | None = None,
        softcap: float | None = None,
        **_: object,
    ) -> tuple[Tensor, None]:
        """Return the attention's output (1, tokens, heads, head size), as transformers asks for it.

        Shapes: query (1, heads, tokens, head size); key and value (1, key heads, trunk + tokens, head size).
        """
        if s_aux is not None or softcap is not None:
            raise ValueError("this attention has sinks or a soft cap, which FlashAttention in torch does not compute")
        self._check_window(module, sliding_window)
        queries, keys, values = (part[0].transpose(0, 1) for part in (query, key, value))
        window = NO_WINDOW if sliding_window is None else sliding_window - 1
        parts = []
        for group in self._on(query.device):
            seen, read = (
                part if group.places is None else part.index_select(0, group.places) for part in (keys, values)
            )
            parts.append(self._kernel(queries[group.first : group.last], seen, read, group, scaling, window))
        return torch.cat(parts)[None] if len(parts) > 1 else parts[0][None], None

    def _check_window(self, module: torch.nn.Module, given: int | None) -> None:
        """Raise ValueError where a layer has a window that only its mask tells, and keys lie behind it."""
        if not self._windows:
            return
        kind = self._kinds[int(module.layer_idx)] if self._kinds else "all"  # type: ignore[arg-type]
        stated, seen = self._windows.get(kind), max(self._most_keys, *(group.most_keys for group in self._groups))
        if stated is not None and given is None and seen > stated:
            raise ValueError(
                f"this model tells its window of {stated} keys by masks alone: set runtime.transformers.n_ctx={stated} "
                "to be as fast as without it"
            )

    def _on(self, device: torch.device) -> list[Group]:
        """Return the plan on a device; the layers of one model may lie on several."""
        if device not in self._moved:
            self._moved[device] = [group.on(device) for group in self._groups]
        return self._moved[device]


def groups(block: Block, rows: int = COPIED_ROWS) -> Iterator[Group]:
    """Cut a block's paths into groups that see at most `rows` keys together, but one path at least."""
    own = np.searchsorted(block.first_path, np.arange(block.n_paths + 1))  # a token is evaluated in its first path
    seen: list[NDArray[np.int64]] = []
    first = 0
    for path in range(block.n_paths):
        keys = _keys(block, path, int(own[path + 1]))
        if seen and sum(map(len, seen)) + len(keys) > rows:
            yield _group(own[first : path + 1], seen)
            seen, first = [], path
        seen.append(keys)
    yield _group(own[first:], seen)


def _keys(block: Block, path: int, end: int) -> NDArray[np.int64]:
    """Return where the keys lie that the last of a path's tokens sees, which is the one before `end`."""
    on_path = np.flatnonzero((block.first_path[:end] <= path) & (path <= block.last_path[:end]))
    return np.concatenate([np.arange(block.trunk_seen[path]), block.trunk + on_path])


def _group(own: NDArray[np.int64], seen: list[NDArray[np.int64]]) -> Group:
    counts = [len(keys) for keys in seen]
    return Group(
        first=int(own[0]),
        last=int(own[-1]),
        starts=torch.from_numpy((own - own[0]).astype(np.int32)),
        key_starts=torch.from_numpy(np.cumsum([0, *counts]).astype(np.int32)),
        places=torch.from_numpy(np.concatenate(seen)),
        longest=int(np.diff(own).max()),
        most_keys=max(counts),
    )


def flash(query: Tensor, key: Tensor, value: Tensor, group: Group, scaling: float | None, window: int) -> Tensor:
    """Attend by torch's FlashAttention: causal, aligned so that a path's last token sees all of its keys.

    It is what `torch.nn.attention.varlen` calls, which torch 2.8 does not have. Key heads may be fewer
    than query heads.
    """
    output: Tensor = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        group.starts,
        group.key_starts,
        group.longest,
        group.most_keys,
        0.0,
        window == NO_WINDOW,
        False,
        scale=scaling,
        window_size_left=window,
        window_size_right=0,
    )[0]
    return output
