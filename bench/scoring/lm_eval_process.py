"""Keep lm-eval and the engine in two processes: lm-eval imports torch, and not every build of llama.cpp bears that.

Seen with torch 2.11 and a CUDA build of llama-cpp-python 0.3.36 in one process: importing torch second aborts it,
importing it first makes llama.cpp crash while it loads. So the scorer answers over a pipe what lm-eval asks.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.forest import Request
from bench.runtimes.session import Vocabulary
from bench.scoring.scorer import VERSION, Score, Scorer
from variants.errors import UserError
from variants.process import die_with_parent


def judged(scorer: Scorer, work: Callable[..., Any], *arguments: Any) -> Any:
    """Run `work(remote, remote.progress, *arguments)` in another process that uses this scorer; return what it returns.

    Raises RuntimeError where that process failed or died.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    known = (scorer.session.n_ctx, scorer.session.vocabulary)
    process = context.Process(target=_work, args=(theirs, known, work, arguments), daemon=True)
    process.start()
    theirs.close()
    offered: dict[str, Callable[..., Any]] = {
        "tokenize": scorer.tokenize,
        "score": scorer.score,
        "complete": scorer.complete,
        "progress": scorer.progress,
    }

    def told(pipe: Callable[..., Any], *given: Any) -> Any:
        try:
            return pipe(*given)
        except (EOFError, ConnectionError):
            raise RuntimeError("the process that runs lm-eval died; its message is in the log") from None

    try:
        while True:
            kind, asked = told(ours.recv)
            if kind == "done":
                return asked
            if kind == "failed":
                raise RuntimeError(asked)
            told(ours.send, offered[kind](*asked))
    finally:
        ours.close()
        process.join()


class RemoteScorer:
    """The scorer, answered by the process that holds the engine."""

    version = VERSION

    def __init__(self, connection: Connection, n_ctx: int, vocabulary: Vocabulary) -> None:
        self._connection = connection
        self.n_ctx = n_ctx
        self.vocabulary = vocabulary

    def tokenize(self, texts: Sequence[tuple[str, bool]]) -> list[NDArray[np.int32]]:
        """Ask for tokens."""
        return self._ask("tokenize", texts)  # type: ignore[no-any-return]

    def score(self, requests: Sequence[Request]) -> tuple[list[Score], dict[str, Any]]:
        """Ask for log-likelihoods."""
        return self._ask("score", requests)  # type: ignore[no-any-return]

    def complete(self, tokens: Sequence[int], n_tokens: int, until: Sequence[str]) -> str:
        """Ask for a text."""
        return self._ask("complete", tokens, n_tokens, until)  # type: ignore[no-any-return]

    def progress(self, what: str, done: int, total: int) -> None:
        """Hand a progress report on."""
        self._ask("progress", what, done, total)

    def _ask(self, kind: str, *asked: Any) -> Any:
        try:
            self._connection.send((kind, asked))
            return self._connection.recv()
        except (EOFError, ConnectionError):
            raise NobodyWaits from None


class NobodyWaits(BaseException):
    """The process that asked has ended; no `except Exception` of a task's own may hide it."""


def _work(
    connection: Connection, known: tuple[int, Vocabulary], work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    die_with_parent()
    remote = RemoteScorer(connection, *known)
    try:
        connection.send(("done", work(remote, remote.progress, *arguments)))
    except NobodyWaits:
        return
    except Exception as error:
        traceback.print_exc()
        told = str(error) if isinstance(error, RuntimeError | UserError) else f"{type(error).__name__}: {error}"
        connection.send(("failed", told))
