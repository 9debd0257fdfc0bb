"""A decoder that replays one captured token: a CUDA graph of its whole forward pass, for models on a GPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from bench.runtimes.decoder import Decoder
from bench.runtimes.on_gpu.path_attention import Group, Kernel, PathAttention
from bench.runtimes.session import Prefill
from bench.runtimes.torch_trunk import Forward, Layer


class PlacedLayer(Layer):  # type: ignore[no-untyped-call]
    """One layer's keys and values. Where `place` is set it says, on the device, where the next token's go."""

    place: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        if self.place is None:
            return super().update(key_states, value_states)
        keys, values = self.buffers
        keys.index_copy_(2, self.place, key_states)
        values.index_copy_(2, self.place, value_states)
        return keys, values


class GraphDecoder(Decoder):
    """A step whose token, place and keys stay where they are in memory, so that a graph can repeat it.

    Prompt and answer together have at most `room` tokens. Until it is captured a step is launched from Python.
    """

    def __init__(self, model: PreTrainedModel, room: int, forward: Forward, kernel: Kernel | None = None) -> None:
        self._model, self._forward = model, forward
        self._layers = [PlacedLayer(room) for _ in range(model.config.get_text_config().num_hidden_layers)]
        self._cache = Cache(layers=[*self._layers])
        self._token, self._place = (torch.zeros(1, dtype=torch.long, device=model.device) for _ in range(2))
        self._key_starts = torch.zeros(2, dtype=torch.int32, device=model.device)
        starts = torch.tensor([0, 1], dtype=torch.int32, device=model.device)
        self._seen = Group(0, 1, starts, self._key_starts, None, longest=1, most_keys=room)
        self._attention = PathAttention(kernel)
        self._replay: Callable[[], None] | None = None
        self.logits = torch.zeros(0)

    @torch.inference_mode()
    def first(self, prompt: Sequence[int]) -> int:
        for layer in self._layers:
            layer.place = None
            layer.clear()
        tokens = torch.tensor([[*prompt]], device=self._model.device)
        logits = self._forward(tokens, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        evaluated = int(self._cache.get_seq_length())
        self.prefill = Prefill(len(prompt), evaluated)
        self._token.copy_(logits[0, -1].argmax())
        self._place.fill_(evaluated)
        self._key_starts[1:].fill_(evaluated + 1)
        for layer in self._layers:
            layer.place = self._place
        return int(self._token)  # int() waits for the device

    def next(self) -> int:
        (self._replay or self._step)()
        return int(self._token)

    @torch.inference_mode()
    def _step(self) -> None:
        """Evaluate the token at its place and put the next one there; the host waits for nothing."""
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

    def warm_up(self) -> None:
        """Take a step, so that a graph has nothing of what is made once. Raises RuntimeError where it has to wait."""
        self.first([0])
        self._beside = torch.cuda.Stream(self._model.device)  # type: ignore[no-untyped-call]
        self._beside.wait_stream(torch.cuda.current_stream(self._model.device))
        try:
            with torch.cuda.stream(self._beside), _without_waiting():
                self._step()
        finally:
            self._beside.synchronize()  # what it computes in may be freed now

    def capture(self) -> None:
        """Have `next` replay a step from now on, captured behind `warm_up` in the same stream."""
        graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream(self._model.device)
        try:
            with torch.cuda.graph(graph, stream=self._beside, capture_error_mode="thread_local"):
                self._step()
        finally:
            torch.cuda.set_stream(before)  # a capture that fails leaves its own
        self._replay = graph.replay


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Have torch raise RuntimeError where the host would wait for the device, which a graph cannot."""
    usual = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        # It warns that this mode misses some waits.
        warnings.filterwarnings("ignore", message="Synchronization debug mode")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(usual)
