"""Run lm-eval in a process of its own: it imports torch, which some builds of llama.cpp do not survive.

Seen with torch 2.11 and a CUDA build of llama-cpp-python 0.3.36 in one process: importing torch second aborts it,
importing it first makes llama.cpp crash while it loads. So lm-eval asks the scorer over a pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Concatenate, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.forest import Request
from bench.runtimes.session import Vocabulary
from bench.scoring.scorer import VERSION, Progress, Score, Scorer, Scoring
from variants.child import start
from variants.errors import UserError
from variants.paths import ROOT

CHILD = """
import sys
from variants.child import end_with
end_with(int(sys.argv[1]))
from bench.scoring.lm_eval_process import serve
serve(int(sys.argv[2]))
"""
"""The program of the other process. It ends with this one from its first moment, before it imports what takes long."""
P = ParamSpec("P")
T = TypeVar("T")


def with_lm_eval(
    scorer: Scorer, work: Callable[Concatenate[RemoteScorer, Progress, P], T], *arguments: P.args, **options: P.kwargs
) -> T:
    """Run `work(remote, progress, *arguments)` in another process and answer what it asks; return what it returns.

    Raises RuntimeError where that process failed or died.
    """
    ours, theirs = multiprocessing.Pipe()
    how = start()
    command = [sys.executable, "-c", CHILD, str(os.getpid()), str(theirs.fileno())]
    # No `preexec_fn`: a process that holds an engine is not forked, it may be large and have threads.
    process = subprocess.Popen(command, cwd=ROOT, stdin=how["stdin"], env=how["env"], pass_fds=[theirs.fileno()])
    theirs.close()
    try:
        with _other_process():
            ours.send((scorer.session.n_ctx, scorer.session.vocabulary, work, arguments, options))
        return cast(T, _answer(ours, scorer))
    except BaseException:
        process.kill()  # it may be long until it asks again and sees that nobody waits
        raise
    finally:
        ours.close()
        process.wait()


def _answer(pipe: Connection, scorer: Scorer) -> object:
    """Answer requests until the work is done; return its result. Raises RuntimeError where it failed."""
    answers: Mapping[str, Callable[..., object]] = {
        "tokenize": scorer.tokenize,
        "score": scorer.score,
        "complete": scorer.complete,
        "progress": scorer.progress,
    }
    while True:
        with _other_process():
            kind, content = pipe.recv()
        if kind == "done":
            return content
        if kind == "failed":
            raise RuntimeError(content)
        answer = answers[kind](*content)
        with _other_process():
            pipe.send(answer)


@contextmanager
def _other_process() -> Iterator[None]:
    """Raise RuntimeError where the other end of the pipe is gone."""
    try:
        yield
    except (EOFError, ConnectionError):
        raise RuntimeError("the process that runs lm-eval died; its message is in the log") from None


class RemoteScorer:
    """The scorer as lm-eval's process sees it; the process that holds the engine answers."""

    version = VERSION

    def __init__(self, connection: Connection, n_ctx: int, vocabulary: Vocabulary) -> None:
        self._connection = connection
        self.n_ctx = n_ctx
        self.vocabulary = vocabulary

    def tokenize(self, texts: Sequence[tuple[str, bool]]) -> list[NDArray[np.int32]]:
        """Ask for tokens."""
        return cast(list[NDArray[np.int32]], self._ask("tokenize", texts))

    def score(self, requests: Sequence[Request]) -> tuple[list[Score], Scoring]:
        """Ask for log-likelihoods."""
        return cast(tuple[list[Score], Scoring], self._ask("score", requests))

    def complete(self, tokens: Sequence[int], n_tokens: int, until: Sequence[str]) -> str:
        """Ask for a text."""
        return cast(str, self._ask("complete", tokens, n_tokens, until))

    def progress(self, what: str, done: int, total: int) -> None:
        """Hand a progress report on."""
        self._ask("progress", what, done, total)

    def _ask(self, kind: str, *arguments: object) -> object:
        try:
            self._connection.send((kind, arguments))
            return self._connection.recv()
        except (EOFError, ConnectionError):
            raise NobodyWaits from None


class NobodyWaits(BaseException):
    """The process that asked has ended; no `except Exception` of a task's own may hide it."""


def serve(pipe: int) -> None:
    """Do the work that stands in a pipe, given as its file descriptor, and send back what comes of it."""
    connection = Connection(pipe)
    try:
        n_ctx, vocabulary, work, arguments, options = connection.recv()
        remote = RemoteScorer(connection, n_ctx, vocabulary)
        connection.send(("done", work(remote, remote.progress, *arguments, **options)))
    except (NobodyWaits, EOFError):
        return
    except Exception as error:
        traceback.print_exc()
        is_plain = isinstance(error, RuntimeError | UserError)
        connection.send(("failed", str(error) if is_plain else f"{type(error).__name__}: {error}"))
