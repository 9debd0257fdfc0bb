"""What continues a prompt in torch, and transformers' own way: a cache that grows, kernel by kernel from Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from bench.runtimes.session import Prefill
from bench.runtimes.torch_trunk import Forward


class Decoder(ABC):
    """Takes the likeliest token behind one prompt after another, one prompt at a time."""

    prefill = Prefill(0, 0)
    """The last prompt, as the engine counted it."""
    _begun = 0

    @abstractmethod
    def first(self, prompt: Sequence[int]) -> int:
        """Evaluate a prompt from an empty cache; return the token that follows."""

    @abstractmethod
    def next(self) -> int:
        """Evaluate the last token; return the one that follows."""

    def generate(self, prompt: Sequence[int], n_tokens: int) -> Iterator[int]:
        """Yield `n_tokens` tokens as they come. Raises RuntimeError where another prompt was begun meanwhile."""
        self._begun += 1
        this = self._begun
        for i in range(n_tokens):
            if this != self._begun:
                raise RuntimeError("another prompt was begun, whose keys and values are in the cache now")
            yield self.next() if i else self.first(prompt)


class FromPython(Decoder):
    """Launches every kernel of a token from Python."""

    def __init__(self, model: PreTrainedModel, forward: Forward) -> None:
        self._model, self._forward = model, forward
        self._cache = DynamicCache(config=model.config)
        self._last = 0

    def first(self, prompt: Sequence[int]) -> int:
        self._cache = DynamicCache(config=self._model.config)
        self._after([*prompt])
        self.prefill = Prefill(len(prompt), int(self._cache.get_seq_length()))
        return self._last

    def next(self) -> int:
        self._after([self._last])
        return self._last

    def _after(self, tokens: list[int]) -> None:
        step = torch.tensor([tokens], device=self._model.device)
        logits = self._forward(step, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._last = int(logits[0, -1].argmax())  # int() waits for the device
