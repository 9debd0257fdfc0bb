"""The pipe between the engine's process and lm-eval's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from bench.judge import judged
from bench.measures.measure import Progress
from bench.runtimes.session import Scorer


class ToyEngine:
    """Tokens are letters; the log-likelihood of a continuation is minus its length."""

    n_ctx, eot_token_id, bos_token_id = 8, 0, 1

    def __init__(self) -> None:
        self.process = os.getpid()

    def tokenize(self, text: str, bos: bool) -> list[int]:
        assert os.getpid() == self.process
        return [self.bos_token_id] * bos + [ord(letter) for letter in text]

    def score(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[tuple[float, bool]]:
        assert os.getpid() == self.process
        return [(-float(len(c)), False) for c in continuations]


def ask(session: Scorer, progress: Progress, text: str) -> dict[str, Any]:
    progress("asking", 1, 1)
    tokens = session.tokenize(text, bos=True)
    return {"process": os.getpid(), "n_ctx": session.n_ctx, "tokens": tokens, "scores": session.score([1], [tokens])}


def fail(session: Scorer, progress: Progress) -> None:
    raise ValueError("no such task")


def die(session: Scorer, progress: Progress) -> None:
    os._exit(3)


def test_a_session_answers_another_process_from_its_own() -> None:
    told: list[tuple[str, int, int]] = []
    answer = judged(ToyEngine(), lambda *report: told.append(report), ask, "ab")  # type: ignore[arg-type]
    assert answer.pop("process") != os.getpid()
    assert answer == {"n_ctx": 8, "tokens": [1, 97, 98], "scores": [(-3.0, False)]}
    assert told == [("asking", 1, 1)]


def test_an_error_over_there_is_an_error_here() -> None:
    with pytest.raises(RuntimeError, match="ValueError: no such task"):
        judged(ToyEngine(), lambda *_: None, fail)  # type: ignore[arg-type]


def test_a_death_over_there_is_an_error_here() -> None:
    with pytest.raises(RuntimeError, match="died"):
        judged(ToyEngine(), lambda *_: None, die)  # type: ignore[arg-type]
