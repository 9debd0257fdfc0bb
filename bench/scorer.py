"""lm-eval's model interface over a session: tokenize as lm-eval does, score, lose no row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from lm_eval.api.model import TemplateLM

from bench.measures.measure import Progress
from bench.runtimes.session import Scorer

Tokenized = tuple[tuple[str, str], list[int], list[int]]


class SessionLM(TemplateLM):  # type: ignore[misc]
    """Scores log-likelihood requests; those that share a context are scored behind one evaluation of it."""

    def __init__(self, session: Scorer, progress: Progress) -> None:
        super().__init__()
        self.truncated = 0
        self._session = session
        self._progress = progress

    @property
    def eot_token_id(self) -> int:
        return self._session.eot_token_id

    @property
    def prefix_token_id(self) -> int:
        bos = self._session.bos_token_id
        return self.eot_token_id if bos is None else bos

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        return self._session.tokenize(string, bos=add_special_tokens is not False)

    def _loglikelihood_tokens(self, requests: Sequence[Tokenized], **_: Any) -> list[tuple[float, bool]]:
        answers: list[tuple[float, bool]] = []
        for context, group in groupby(requests, key=lambda request: request[1]):
            continuations = [request[2] for request in group]
            answers += self._session.score(self._fit(context, continuations), continuations)
            self._progress("accuracy", len(answers), len(requests))
        assert len(answers) == len(requests)
        return answers

    def _fit(self, context: list[int], continuations: Sequence[Sequence[int]]) -> list[int]:
        """Cut the context on its left where it does not fit, as lm-eval does, and count it."""
        overflow = len(context) + max(map(len, continuations)) - (self._session.n_ctx + 1)
        if overflow <= 0:
            return context
        if overflow >= len(context):
            raise RuntimeError(f"an answer alone does not fit n_ctx={self._session.n_ctx}")
        self.truncated += len(continuations)
        return context[overflow:]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        raise TypeError("only multiple-choice tasks are scored; a perplexity task was asked for")

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        raise TypeError("only multiple-choice tasks are scored; a generation task was asked for")
