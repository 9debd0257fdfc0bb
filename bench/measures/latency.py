"""Latency: one request at a time, timed by the caller of the session."""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypedDict

from bench.machine.gpu_load import CardColumns, watching
from bench.measures.measure import Progress, Subject, cards_of
from bench.runtimes.session import Session
from variants.configure import check_least
from variants.data.rows import QUESTION, read_rows
from variants.errors import UserError
from variants.paths import resolve
from variants.step import CONTENT

Clock = Callable[[], float]


class Requests(TypedDict):
    """One value per request, in the order sent."""

    ttft_ms: list[float]
    tpot_ms: list[float]
    e2e_ms: list[float]
    prompt_tokens: list[int]
    evaluated_tokens: list[int]


class Samples(Requests):
    """The requests of one round, how they were sent, and what the warm-up took, which decided how many they are."""

    loop: str
    warmup_requests: int
    warmup_e2e_ms: list[float]
    output_tokens: int


class SamplesOnCards(Samples):
    """The requests of one round on GPUs, and what each card did during every request."""

    cards: list[CardColumns]


@dataclass(frozen=True)
class Latency:
    """Closed loop, fixed output length, distinct real prompts in a seeded order that differs by round.

    TTFT is request start to first token, tokenization included; TPOT is (last - first) / (n - 1); E2E is request start
    to last token (MLPerf Inference, Llama 2 70B rules). In a closed loop these are service times: nothing queues.

    A round asks `requests`, or where those would take more than about `seconds`, fewer: the number is halved until it
    fits, but not below `least_requests`. It is decided by the median of the warm-up requests alone, before a request
    that counts is sent, so that no measured value has a say in how many are measured. It goes in halves, so that rounds
    of one variant nearly always ask the same number. Fewer requests are the first ones of the same order.
    """

    prompts: str = field(metadata=CONTENT)
    prompt: str
    requests: int
    least_requests: int
    seconds: float | None
    warmup_requests: int
    output_tokens: int
    seed: int

    name: ClassVar[str] = "latency"
    tools: ClassVar[tuple[str, ...]] = ()
    timed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_least(self, requests=1, least_requests=1, warmup_requests=0, output_tokens=2)
        if self.seconds is not None and self.seconds <= 0:
            raise UserError(f"seconds: got {self.seconds:g}, allowed: above 0, or null to ask all requests")
        if self.seconds is not None and self.warmup_requests < 1:
            raise UserError(
                "warmup_requests: got 0, allowed: 1 and more where seconds limits a round, because the warm-up decides "
                "how many requests fit; or set seconds=null"
            )
        if QUESTION not in self.prompt:
            raise UserError(f"prompt: got {self.prompt!r}, allowed: a text with {{question}} in it")
        available = len(read_rows(resolve(self.prompts)))
        if self.requests + self.warmup_requests > available:
            raise UserError(
                f"requests: got {self.requests} and {self.warmup_requests} for warm-up, but {self.prompts} has "
                f"{available} prompts, and a prompt sent twice would meet a warm cache; ask for fewer or add rounds"
            )

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Samples:
        """Return ttft_ms, tpot_ms and e2e_ms of every request in the order sent, and the tokens evaluated."""
        rows = read_rows(resolve(self.prompts))
        random.Random(self.seed * 1000 + round_).shuffle(rows)
        prompts = [row.asked(self.prompt) for row in rows]
        warm, rest = prompts[: self.warmup_requests], prompts[self.warmup_requests :]
        session = subject.session
        cards = cards_of(session)
        with watching(cards) as watch:
            clock, silent = time.perf_counter, lambda *_: None
            warmup = time_requests(session, warm, self.output_tokens, clock, silent, watch.read)["e2e_ms"]
            watch.restart()
            timed = rest[: self.fitting(warmup)]
            requests = time_requests(session, timed, self.output_tokens, clock, progress, watch.read)
        samples: Samples = {
            "loop": "closed",
            "warmup_requests": len(warm),
            "warmup_e2e_ms": warmup,
            "output_tokens": self.output_tokens,
            **requests,
        }
        return SamplesOnCards(**samples, cards=watch.columns()) if cards else samples

    def fitting(self, warmup_e2e_ms: Sequence[float]) -> int:
        """Return how many requests a round asks after a warm-up of these latencies."""
        n = self.requests
        if self.seconds is None:
            return n
        each = statistics.median(warmup_e2e_ms) / 1e3
        while n > 1 and n * each > self.seconds and math.ceil(n / 2) >= self.least_requests:
            n = math.ceil(n / 2)
        return n


def time_requests(
    session: Session,
    prompts: Sequence[str],
    n_tokens: int,
    clock: Clock,
    progress: Progress,
    between: Callable[[], None] = lambda: None,
) -> Requests:
    """Send the prompts one after another; return milliseconds and token counts per request.

    `between` is called after each request, while no clock runs.

    Raises RuntimeError where the engine evaluated fewer tokens than were sent: it answered from a cache.
    """
    columns = Requests(ttft_ms=[], tpot_ms=[], e2e_ms=[], prompt_tokens=[], evaluated_tokens=[])
    session.prepare_decoding()  # no request waits for it
    gc.collect()
    gc.disable()
    try:
        for i, prompt in enumerate(prompts):
            start = clock()
            tokens = session.tokenize(prompt, bos=True)
            stamps = [clock() for _ in session.generate(tokens, n_tokens)]
            if len(stamps) != n_tokens:
                raise RuntimeError(f"asked for {n_tokens} tokens, got {len(stamps)}")
            prefill = session.last_prefill
            if prefill.evaluated_tokens != prefill.sent_tokens:
                raise RuntimeError(
                    f"the engine evaluated {prefill.evaluated_tokens} of {prefill.sent_tokens} prompt tokens: "
                    "a prompt cache is at work, and its latency is not this model's"
                )
            columns["ttft_ms"].append(round((stamps[0] - start) * 1e3, 4))
            columns["tpot_ms"].append(round((stamps[-1] - stamps[0]) * 1e3 / (n_tokens - 1), 4))
            columns["e2e_ms"].append(round((stamps[-1] - start) * 1e3, 4))
            columns["prompt_tokens"].append(prefill.sent_tokens)
            columns["evaluated_tokens"].append(prefill.evaluated_tokens)
            between()
            if i % 10 == 9:
                progress("latency", i + 1, len(prompts))
    finally:
        gc.enable()
    return columns
