"""Keep lm-eval and the engine in two processes: lm-eval imports torch, and not every build of llama.cpp bears that.

Seen with torch 2.11 and a CUDA build of llama-cpp-python 0.3.36 in one process: importing torch second aborts it,
importing it first makes llama.cpp crash while it loads. So a session answers over a pipe what lm-eval asks.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from bench.measures.measure import Progress
from bench.runtimes.session import Session
from variants.process import die_with_parent

CONSTANTS = ("n_ctx", "eot_token_id", "bos_token_id")


def judged(session: Session, progress: Progress, work: Callable[..., Any], *arguments: Any) -> Any:
    """Run `work(session, progress, *arguments)` in another process that uses this session; return what it returns.

    Raises RuntimeError where that process failed or died.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    constants = {name: getattr(session, name) for name in CONSTANTS}
    process = context.Process(target=_work, args=(theirs, constants, work, arguments), daemon=True)
    process.start()
    theirs.close()
    offered: dict[str, Callable[..., Any]] = {
        "tokenize": session.tokenize,
        "score": session.score,
        "progress": progress,
    }
    try:
        while True:
            kind, asked = ours.recv()
            if kind == "done":
                return asked
            if kind == "failed":
                raise RuntimeError(asked)
            ours.send(offered[kind](*asked))
    except EOFError:
        raise RuntimeError("the process that runs lm-eval died; its message is in the log") from None
    finally:
        ours.close()
        process.join()


class RemoteSession:
    """The part of a session that scoring needs, answered by the process that holds the engine."""

    def __init__(self, connection: Connection, constants: dict[str, Any]) -> None:
        self._connection = connection
        self.n_ctx: int = constants["n_ctx"]
        self.eot_token_id: int = constants["eot_token_id"]
        self.bos_token_id: int | None = constants["bos_token_id"]

    def tokenize(self, text: str, bos: bool) -> list[int]:
        return self._ask("tokenize", text, bos)  # type: ignore[no-any-return]

    def score(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[tuple[float, bool]]:
        return self._ask("score", context, continuations)  # type: ignore[no-any-return]

    def progress(self, what: str, done: int, total: int) -> None:
        """Hand a progress report on."""
        self._ask("progress", what, done, total)

    def _ask(self, kind: str, *asked: Any) -> Any:
        self._connection.send((kind, asked))
        return self._connection.recv()


def _work(
    connection: Connection, constants: dict[str, Any], work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    die_with_parent()
    session = RemoteSession(connection, constants)
    try:
        connection.send(("done", work(session, session.progress, *arguments)))
    except EOFError:  # the other process ended: nobody waits for an answer
        return
    except Exception as error:
        traceback.print_exc()
        connection.send(("failed", f"{type(error).__name__}: {error}"))
