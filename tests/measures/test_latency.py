"""Latency arithmetic, with a clock that the test holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from bench.measures.latency import Latency, Requests, time_requests
from bench.measures.measure import Subject
from bench.runtimes.session import Prefill
from variants.errors import UserError


class Clock:
    """A clock that moves only when a session works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class ToySession:
    """Takes 5 s for a prompt and 2 s for each token after the first; keeps `cached` prompt tokens to itself."""

    def __init__(self, clock: Clock, cached: int = 0) -> None:
        self.clock = clock
        self.cached = cached
        self.last_prefill = Prefill(0, 0)
        self.prompts: list[str] = []

    def tokenize(self, text: str, bos: bool) -> list[int]:
        self.prompts.append(text)
        return [1] * 4

    def generate(self, tokens: Sequence[int], n_tokens: int) -> Iterator[int]:
        self.clock.now += 5.0
        self.last_prefill = Prefill(4, 4 - self.cached)
        yield 0
        for token in range(1, n_tokens):
            self.clock.now += 2.0
            yield token


def timed(session: ToySession, prompts: Sequence[str], n_tokens: int) -> Requests:
    return time_requests(session, prompts, n_tokens, session.clock, lambda *_: None)  # type: ignore[arg-type]


def test_ttft_tpot_and_e2e_follow_their_definitions() -> None:
    samples = timed(ToySession(Clock()), ["a", "b"], 11)
    assert samples["ttft_ms"] == [5000.0, 5000.0]
    assert samples["tpot_ms"] == [2000.0, 2000.0]
    assert samples["e2e_ms"] == [25000.0, 25000.0]
    assert samples["evaluated_tokens"] == samples["prompt_tokens"] == [4, 4]


def test_an_answer_from_a_prompt_cache_is_refused() -> None:
    with pytest.raises(RuntimeError, match="evaluated 1 of 4 prompt tokens"):
        timed(ToySession(Clock(), cached=3), ["a"], 2)


def test_warm_up_is_sent_first_and_left_out_and_no_prompt_is_sent_twice() -> None:
    session = ToySession(Clock())
    measure = Latency("bench/tasks/hr/test.jsonl", "{question}", 6, 3, 2, seed=0)
    subject = Subject(None, session, None)  # type: ignore[arg-type]
    samples = measure.measure(subject, 0, lambda *_: None)
    assert len(samples["e2e_ms"]) == 6
    assert len(session.prompts) == len(set(session.prompts)) == 9
    assert samples["warmup_requests"] == 3


def test_rounds_send_different_questions_and_a_round_repeats_exactly() -> None:
    sent = []
    for round_ in (0, 1, 0):
        session = ToySession(Clock())
        subject = Subject(None, session, None)  # type: ignore[arg-type]
        Latency("bench/tasks/hr/test.jsonl", "{question}", 6, 0, 2, seed=0).measure(subject, round_, lambda *_: None)
        sent.append(session.prompts)
    assert sent[0] == sent[2] != sent[1]


@pytest.mark.parametrize(
    ("requests", "warmup", "tokens", "named"),
    [(0, 0, 2, "requests"), (1, -1, 2, "warmup_requests"), (1, 0, 1, "output_tokens"), (10_000, 0, 2, "requests")],
)
def test_values_that_cannot_be_measured_are_refused(requests: int, warmup: int, tokens: int, named: str) -> None:
    with pytest.raises(UserError, match=f"^{named}: got"):
        Latency("bench/tasks/hr/test.jsonl", "{question}", requests, warmup, tokens, seed=0)
