"""Greedy decoding in torch: kernel by kernel from Python, or on a GPU a whole token at once, as one CUDA graph.

A token takes a thousand kernels and more, and Python launches them slower than a GPU runs them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache

from bench.runtimes.on_gpu.path_attention import Group, Kernel, PathAttention, can_attend
from bench.runtimes.session import FROM_PYTHON
from bench.runtimes.torch_trunk import Forward, Layer

CHECKED_TOKENS = 32
CHECKED_STEPS = 2
REPLAYED = "one CUDA graph a token"


class Decoder(Protocol):
    """What continues one prompt after another."""

    def first(self, prompt: Sequence[int]) -> int:
        """Evaluate a prompt from an empty cache; return the token that follows."""
        ...

    def next(self) -> int:
        """Evaluate the last token; return the one that follows."""
        ...

    @property
    def cached_tokens(self) -> int:
        """How many tokens have keys and values: behind `first`, those that the engine evaluated."""
        ...


class FromPython:
    """transformers' own way: a cache that grows, and every kernel launched from Python."""

    def __init__(self, model: PreTrainedModel, forward: Forward) -> None:
        self._model, self._forward = model, forward
        self._cache = DynamicCache(config=model.config)
        self._last = 0

    def first(self, prompt: Sequence[int]) -> int:
        self._cache = DynamicCache(config=self._model.config)
        return self._after([*prompt])

    def next(self) -> int:
        return self._after([self._last])

    def _after(self, tokens: list[int]) -> int:
        step = torch.tensor([tokens], device=self._model.device)
        logits = self._forward(step, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._last = int(logits[0, -1].argmax())  # int() waits for the device
        return self._last

    @property
    def cached_tokens(self) -> int:
        return int(self._cache.get_seq_length())


class Row(Layer):  # type: ignore[no-untyped-call]
    """One layer's keys and values; `place` is the next one's place, on the device, so that no step asks the host."""

    place: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        if self.place is None:
            return super().update(key_states, value_states)
        keys, values = self.buffers
        keys.index_copy_(2, self.place, key_states)
        values.index_copy_(2, self.place, value_states)
        return keys, values


class Replayed:
    """A token's forward pass with all that it depends on in the same place of memory, so that a graph can repeat it.

    Prompt and answer together have at most `room` tokens.
    """

    def __init__(self, model: PreTrainedModel, room: int, forward: Forward, kernel: Kernel | None = None) -> None:
        self._model, self._forward = model, forward
        self._rows = [Row(room) for _ in range(model.config.get_text_config().num_hidden_layers)]
        self._cache = Cache(layers=[*self._rows])
        self._token, self._place = (torch.zeros(1, dtype=torch.long, device=model.device) for _ in range(2))
        self._key_starts = torch.zeros(2, dtype=torch.int32, device=model.device)
        starts = torch.tensor([0, 1], dtype=torch.int32, device=model.device)
        self._seen = Group(0, 1, starts, self._key_starts, None, longest=1, most_keys=room)
        self._attention = PathAttention(kernel)
        self._advance: Callable[[], None] = self.step
        self.logits = torch.zeros(0)

    @property
    def cached_tokens(self) -> int:
        return int(self._place)

    @torch.inference_mode()
    def first(self, prompt: Sequence[int]) -> int:
        for row in self._rows:
            row.place = None
            row.clear()
        tokens = torch.tensor([[*prompt]], device=self._model.device)
        logits = self._forward(tokens, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        evaluated = int(self._cache.get_seq_length())
        self._token.copy_(logits[0, -1].argmax())
        self._place.fill_(evaluated)
        self._key_starts[1] = evaluated + 1
        for row in self._rows:
            row.place = self._place
        return int(self._token)

    def next(self) -> int:
        self._advance()
        return int(self._token)  # int() waits for the device

    @torch.inference_mode()
    def step(self) -> None:
        """Evaluate the token at its place and put the next one there, without a number that the host would wait for."""
        with self._attention.at_work(self._model, [self._seen]):
            self.logits = self._forward(
                self._token[None],
                position_ids=self._place[None],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self._token.copy_(self.logits[0, -1].argmax())
        self._place.add_(1)
        self._key_starts[1:].add_(1)

    def capture(self) -> None:
        """Have `next` replay a step from now on. Raises RuntimeError where a step waits for the device."""
        self.first([0])
        beside = torch.cuda.Stream(self._model.device)  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream(self._model.device))
        with torch.cuda.stream(beside), _without_waiting():
            self.step()  # what is made at a first use is made now: a graph is to have none of it
        beside.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=beside, capture_error_mode="thread_local"):
            self.step()
        self._advance = graph.replay


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Have torch raise RuntimeError where the host would wait for the device, which a graph cannot."""
    usual = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Synchronization debug mode"
        )  # that it may miss some: a capture fails
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(usual)


def decoder_of(model: PreTrainedModel, room: int, forward: Forward, bound: float) -> tuple[Decoder, str]:
    """Return how a model decodes fastest here with its own numbers, and in words how.

    A graph's log-probabilities may differ from those without a cache by `bound` nats in the mean, the rounding's own.
    """
    if (why := _unfit(model, room)) is not None:
        return FromPython(model, forward), f"{FROM_PYTHON}: {why}"
    replayed = Replayed(model, room, forward)
    try:
        replayed.capture()
        worst = difference(replayed, model, forward)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        logging.getLogger(__name__).warning("decoding is slower: a token cannot be captured: %s", error)
        return FromPython(model, forward), f"{FROM_PYTHON}: a token cannot be captured, the log says why"
    if not worst <= bound:  # also what is no number
        logging.getLogger(__name__).warning("decoding is slower: a captured token differs by %.2g nats", worst)
        return FromPython(model, forward), f"{FROM_PYTHON}: captured, a token has other numbers"
    return replayed, REPLAYED


def _unfit(model: PreTrainedModel, room: int) -> str | None:
    """Say why a model is not tried; None where it can be."""
    if not can_attend(model):
        return "its attention needs masks"
    if room < CHECKED_TOKENS + CHECKED_STEPS:
        return f"a context of {room} tokens"
    return "on several cards" if len({parameter.device for parameter in model.parameters()}) > 1 else None


def difference(replayed: Replayed, model: PreTrainedModel, forward: Forward) -> float:
    """Return the largest mean difference of a few tokens' log-probabilities from those without a cache, in nats."""
    n_tokens = model.config.get_text_config().vocab_size
    tokens = np.random.default_rng(0).integers(0, n_tokens, CHECKED_TOKENS).tolist()
    following = replayed.first(tokens)
    worst = 0.0
    for _ in range(CHECKED_STEPS):
        tokens.append(following)
        following = replayed.next()
        alone = forward(torch.tensor([tokens], device=model.device), logits_to_keep=1, use_cache=False)
        ours, theirs = (torch.log_softmax(logits[0, -1].float(), dim=-1) for logits in (replayed.logits, alone))
        worst = max(worst, float((ours - theirs).abs().mean()))
    return worst
