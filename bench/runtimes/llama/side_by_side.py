"""Contexts of llama.cpp that score side by side, so that a card does not wait for the host between two blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

import llama_cpp

from bench.runtimes.forest import Block, chains
from bench.runtimes.llama.context import Context, ContextShape
from bench.runtimes.logits import Logits
from bench.runtimes.session import Read

Run = Generator[Read]
ReadRows = Callable[[Block, Logits], Read]
"""What takes from the logits of a block's rows what the block asks."""


class Contexts:
    """Up to `at_most` contexts of one shape over one model, which share the blocks that are scored.

    The first is made at once, the others when blocks are scored, as far as the card has room. Raises MemoryError where
    llama.cpp cannot make the first one.
    """

    def __init__(self, model: llama_cpp.llama_model_p, shape: ContextShape, at_most: int = 1) -> None:
        self.shape = shape
        self._model = model
        self._at_most = at_most
        self._all = [Context(model, shape)]
        self._run: Run | None = None
        self.kv_bytes = self._all[0].kv_bytes

    def alone(self) -> Context:
        """Return the first context, for what is done alone. A run that was left half-way ends."""
        self._end_run()
        return self._all[0]

    def close(self) -> None:
        """Free them all."""
        self._end_run()
        for context in self._all:
            context.close()

    def evaluate(self, blocks: Iterable[Block], read: ReadRows) -> Run:
        """Yield what `read` makes of each block and the logits of its rows, in the order of the blocks."""
        self._end_run()
        self._run = self._evaluated(blocks, read)
        return self._run

    def _evaluated(self, blocks: Iterable[Block], read: ReadRows) -> Run:
        while len(self._all) < self._at_most:
            another = _another(self._model, self.shape)
            if another is None:
                self._at_most = len(self._all)
            else:
                self._all.append(another)
        if len(self._all) > 1:
            yield from self._side_by_side(blocks, read)
            return
        for block in blocks:
            yield read(block, self._all[0].evaluate(block))

    def _end_run(self) -> None:
        """Have the threads of a run end, and wait for them: llama.cpp crashes where two use one context."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def _side_by_side(self, blocks: Iterable[Block], read: ReadRows) -> Run:
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
