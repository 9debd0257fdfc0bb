"""Evaluate blocks of a forest in a transformers model: one row of tokens whose paths attention keeps apart.

That is by a mask, or on a GPU, where the model allows it, without one (on_gpu/path_attention.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from bench.runtimes.forest import Block, Forest, Limits, Request
from bench.runtimes.on_gpu.fused import Fused, fuse
from bench.runtimes.on_gpu.path_attention import PathAttention, can_attend, groups, sliding_windows
from bench.runtimes.transfer import indexes

TRIED_TOKENS = 48
"""Enough to fork, and to find an error; CHECKED_TOKENS are compared before an artifact is scored."""
CHECKED_TOKENS = 640
"""Longer than a local window that no configuration states (GPT-Neo: 256)."""
FORKED_PATHS = 3
MASKS_INSTEAD = "masks: attention along paths fails here, the log says why"
"""Scores are kept by this text, and that of the error may be another each time."""
Forward = Callable[..., Tensor]
"""A model's forward pass; it returns the logits (1, tokens, vocabulary)."""
ERRORS = (TypeError, ValueError, IndexError, AssertionError, RuntimeError)
"""What a model's own code raises where it cannot be evaluated in blocks."""


@dataclass(frozen=True)
class BlockEvaluation:
    """How blocks of a model are evaluated: by masks without `attention`, by its own code without `fused`.

    `kept_apart_by` says in words what keeps the paths of a block apart, `replaced` which parts are replaced.
    """

    attention: PathAttention | None = None
    kept_apart_by: str = "masks"
    fused: Fused | None = None
    replaced: str = "nothing: masks"


def choose_evaluation(model: PreTrainedModel, forward: Forward, n_ctx: int, bound: float) -> BlockEvaluation:
    """Try how blocks of up to `n_ctx` keys a path can be evaluated fastest on a model's device.

    Attention along paths is taken where some that fork have the log-probabilities of each of them alone, within `bound`
    nats in the mean: a layer may have sinks, values of another size than keys, or a window that its masks alone tell.
    """
    if not can_attend(model):
        return BlockEvaluation()
    along = BlockEvaluation(PathAttention(most_keys=n_ctx), "FlashAttention over paths")
    length = min(n_ctx, TRIED_TOKENS)
    limits = Limits(max(1, length // 3), FORKED_PATHS, FORKED_PATHS)
    n_words = int(model.config.get_text_config().vocab_size)
    try:
        differences = fork_differences(Trunk(model, 2 * length, along), forward, n_words, length, limits)
        why = "" if all(one <= bound for one in differences) else f"{max(differences):.2g} nats from the model's own"
    except torch.OutOfMemoryError:
        raise
    except ERRORS as error:
        why = reason_of(error)
    if why:
        logging.getLogger(__name__).warning("scoring is slower, by masks: attention along paths fails: %s", why)
        return BlockEvaluation(kept_apart_by=MASKS_INSTEAD)
    fused, replaced = fuse(model)
    return replace(along, fused=fused, replaced=replaced)


def reason_of(error: Exception) -> str:
    """Return the first line of an error, its type where it has no text."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values in buffers made once: a cache that grows is copied whole for every block."""

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._room = room

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
        self.buffers = [self._buffer(x) for x in (key_states, value_states)]
        self._length(0)

    def _buffer(self, x: Tensor) -> Tensor:
        """Return room for keys or values (1, heads, room, head size); on a GPU a token's heads lie together."""
        paths, heads, _, width = x.shape
        if x.device.type == "cuda":
            return x.new_empty(paths, self._room, heads, width).transpose(1, 2)
        return x.new_empty(paths, heads, self._room, width)

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, end = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = new
        self._length(end)
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def keep(self, first: int, others: Tensor) -> None:
        """Keep the first `first` tokens and, behind them, those at the places `others`."""
        for buffer in self.buffers:
            buffer[:, :, first : first + len(others)] = buffer.index_select(2, others)
        self._length(first + len(others))

    def clear(self) -> None:
        """Forget all tokens; their room stays."""
        if self.is_initialized:
            self._length(0)

    def _length(self, tokens: int) -> None:
        self.keys, self.values = (buffer[:, :, :tokens] for buffer in self.buffers)


class Trunk:
    """The keys and values of one path, kept from block to block; it and a block have at most `room` tokens."""

    def __init__(self, model: PreTrainedModel, room: int, evaluation: BlockEvaluation = BlockEvaluation()) -> None:
        """Make room; by default blocks are evaluated by masks."""
        # A layer keeps tokens that a sliding window has passed; the mask hides them.
        config = model.config.get_text_config()
        self._layers = [Layer(room) for _ in range(config.num_hidden_layers)]
        self._cache = Cache(layers=[*self._layers])
        self._model = model
        self._is_split = len({one.device for one in model.parameters()}) > 1
        self._by_kind = hasattr(config, "layer_types")
        self._windows = sliding_windows(config)
        self._attention, self._fused = evaluation.attention, evaluation.fused

    @torch.inference_mode()
    def evaluate(self, block: Block, forward: Forward) -> Tensor:
        """Evaluate a block behind the trunk and keep the next one's; return its rows' logits (rows, vocabulary)."""
        device = self._model.device
        if block.trunk == 0:
            self._keep(0, np.zeros(0, dtype=np.int64))
        positions = indexes(block.positions, device)
        # An empty choice of rows means all of them to transformers.
        rows = block.rows if len(block.rows) else np.zeros(1, dtype=np.int64)
        with self._attending(block) as mask, self._fused.at_work() if self._fused else nullcontext():
            logits = forward(
                indexes(block.tokens, device)[None],
                attention_mask=mask,
                position_ids=positions[None],
                past_key_values=self._cache,
                use_cache=True,
                # A tensor would be moved to the first card, and the last layer is on another one.
                logits_to_keep=rows.tolist() if self._is_split else indexes(rows, device),
            )
        last = block.n_paths - 1
        own = (block.last_path == last) & (block.positions < block.next_trunk)
        self._keep(min(int(block.trunk_seen[last]), block.next_trunk), block.trunk + np.flatnonzero(own))
        return logits[0, : len(block.rows)]

    @contextmanager
    def _attending(self, block: Block) -> Iterator[Tensor | dict[str, Tensor] | None]:
        """Have the model attend along the paths of a block; yield the mask for it, None where it needs none."""
        if self._attention is None:
            device = self._model.device
            yield self._mask(visible(block, device), indexes(block.positions, device))
            return
        with self._attention.at_work(self._model, list(groups(block))):
            yield None

    def _mask(self, sees: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the additive mask (1, 1, tokens, trunk + tokens), or one per kind of layer where they differ."""

        def additive(seen: Tensor) -> Tensor:
            dtype = self._model.dtype
            hidden = torch.finfo(dtype).min
            return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, hidden)[None, None]

        if not self._windows:
            return additive(sees)
        trunk = sees.shape[1] - len(positions)
        behind = torch.cat([torch.arange(trunk, device=positions.device), positions])
        distance = positions[:, None] - behind[None]
        masks = {
            kind: additive(sees if window is None else sees & (distance < window))
            for kind, window in self._windows.items()
        }
        return masks if self._by_kind else next(iter(masks.values()))

    def _keep(self, first: int, others: NDArray[np.int64]) -> None:
        for layer in self._layers:
            if layer.is_initialized:
                assert layer.device is not None
                layer.keep(first, indexes(others, torch.device(layer.device)))


def fork_differences(trunk: Trunk, forward: Forward, n_words: int, length: int, limits: Limits) -> list[float]:
    """Return the mean differences of log-probabilities, in nats, between paths that fork and each of them alone.

    The paths have `length` tokens of a vocabulary of `n_words`, half of them shared.
    """
    fork = length // 2
    one, other = np.random.default_rng(0).integers(0, n_words, (2, length))
    other[:fork] = one[:fork]
    paths = [one, other[: fork + 1], other]
    forest = Forest([Request(path.tolist(), [0]) for path in paths])
    differences = []
    for block in forest.blocks(next(forest.chunks()), limits):
        shared = torch.log_softmax(trunk.evaluate(block, forward).float(), dim=-1)
        for row, read in zip(block.read_rows, block.reads, strict=True):
            differences.append(difference_alone(forward, paths[read], shared[row]))
    return differences


def difference_alone(forward: Forward, text: NDArray[np.int64], log_probabilities: Tensor) -> float:
    """Return the mean difference, in nats, of what follows a text from the same without a cache and other texts."""
    tokens = torch.as_tensor(text, dtype=torch.long, device=log_probabilities.device)[None]
    logits = forward(tokens, logits_to_keep=1, use_cache=False)
    alone = torch.log_softmax(logits[0, -1].float(), dim=-1)
    return float((alone - log_probabilities).abs().mean())


def visible(block: Block, device: torch.device) -> Tensor:
    """Return which of trunk and block each token sees, as booleans (tokens, trunk + tokens), made on the device.

    A token sees those before it whose paths include its own: paths are nested or apart.
    """
    first, last, positions, trunk_seen = (
        indexes(values, device) for values in (block.first_path, block.last_path, block.positions, block.trunk_seen)
    )
    trunk = torch.arange(block.trunk, device=device)[None] < trunk_seen[first][:, None]
    own = (first[None] <= first[:, None]) & (first[:, None] <= last[None]) & (positions[None] <= positions[:, None])
    return torch.cat([trunk, own], dim=1)


def fixed_rope(config: PreTrainedConfig) -> int | None:
    """Return up to how many tokens positions do not depend on a text's length; None where they never do."""
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") not in ("longrope", "dynamic"):
        return None
    return int(rope.get("original_max_position_embeddings") or config.max_position_embeddings)


def recurrent(config: PreTrainedConfig) -> bool:
    """Say whether any layer keeps a running state instead of keys and values."""
    return any("attention" not in kind or "linear" in kind for kind in getattr(config, "layer_types", None) or [])
