"""Contexts of llama.cpp that score side by side, so that a card does not wait for the host between two blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from bench.runtimes.forest import Block, chains
from bench.runtimes.llama.context import Context, ContextShape
from bench.runtimes.session import Read

SIDE_BY_SIDE = 2
"""How many score on a GPU."""


class Contexts:
    """Contexts of one shape, which evaluate side by side: while a card works for one, the host serves the others.

    Raises MemoryError where llama.cpp cannot make the first one. More than that one are made as far as there is room.
    """

    def __init__(self, model: llama_cpp.llama_model_p, shape: ContextShape, at_most: int = 1) -> None:
        self.shape = shape
        self.first = Context(model, shape)
        self._all = [self.first]
        while len(self._all) < at_most and (another := _another(model, shape)):
            self._all.append(another)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._all)

    def close(self) -> None:
        """Free them all."""
        for context in self._all:
            context.close()

    def evaluate(self, blocks: Iterable[Block], read: Callable[[Block, NDArray[np.float32]], Read]) -> Generator[Read]:
        """Yield what `read` makes of each block and the logits of its rows, in the order of the blocks."""
        if len(self._all) == 1:
            yield from (read(block, self.first.evaluate(block)) for block in blocks)
            return
        free: SimpleQueue[Context] = SimpleQueue()
        for context in self._all:
            free.put(context)

        def evaluated(chain: Sequence[Block]) -> list[Read]:
            context = free.get()
            try:
                return [read(block, context.evaluate(block)) for block in chain]
            finally:
                free.put(context)

        pool = ThreadPoolExecutor(len(self._all), "contexts")
        try:
            pending: deque[Future[list[Read]]] = deque()
            for chain in chains(blocks):
                pending.append(pool.submit(evaluated, chain))
                if len(pending) > len(self._all):  # one waits, so that no context does
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _another(model: llama_cpp.llama_model_p, shape: ContextShape) -> Context | None:
    """Make one more context; None where there is no room for it, and as much again for what kernels take meanwhile.

    CUDA's kernels ask for memory while they evaluate, and llama.cpp ends the process where there is none.
    """
    try:
        made = Context(model, shape)
    except MemoryError:
        return None
    try:
        Context(model, shape).close()
    except MemoryError:
        made.close()
        return None
    return made
