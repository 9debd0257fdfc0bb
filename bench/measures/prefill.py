"""Prefill: how fast prompts of stated lengths are evaluated, timed by the caller of the session."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypedDict

from bench.measures.measure import Progress, Subject
from bench.runtimes.session import Session
from variants.configure import check_least
from variants.errors import UserError

Clock = Callable[[], float]


class Samples(TypedDict):
    """One value per prompt, in the order sent, and how many went before, for each length."""

    prompt_tokens: list[int]
    evaluated_tokens: list[int]
    seconds: list[float]
    warmup_prompts: int


@dataclass(frozen=True)
class Prefill:
    """Prompts of `lengths` tokens, drawn from the vocabulary: `times` of each, after `warmup_prompts` of each.

    A prompt's time is that from the call to its first token: all of its tokens are evaluated, and one is picked. The
    lengths take turns, so that a slow spell of the machine meets all of them. No two prompts are the same, nor is any
    the beginning of another.
    """

    lengths: list[int]
    times: int
    warmup_prompts: int
    seed: int

    name: ClassVar[str] = "prefill"
    tools: ClassVar[tuple[str, ...]] = ()
    timed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_least(self, times=1, warmup_prompts=0)
        if not self.lengths or min(self.lengths) < 1 or len(set(self.lengths)) < len(self.lengths):
            raise UserError(f"lengths: got {self.lengths}, allowed: different numbers of tokens, each 1 and more")

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Samples:
        """Return the tokens and the seconds of every prompt. Raises UserError for one that the context cannot hold."""
        session = subject.session
        if max(self.lengths) >= session.n_ctx:
            raise UserError(
                f"prefill.lengths: got {max(self.lengths)}, allowed: less than the context of {session.n_ctx} tokens "
                f"(runtime.{session.facts['runtime']}.n_ctx, and never more than the model's own)"
            )
        draw = random.Random(self.seed * 1000 + round_)
        lengths = self.lengths * (self.warmup_prompts + self.times)
        prompts = [random_prompt(draw, length, session) for length in lengths]
        warmup = len(self.lengths) * self.warmup_prompts
        time_prompts(session, prompts[:warmup], time.perf_counter, lambda *_: None)
        return {
            "warmup_prompts": self.warmup_prompts,
            **time_prompts(session, prompts[warmup:], time.perf_counter, progress),
        }


def random_prompt(draw: random.Random, n_tokens: int, session: Session) -> list[int]:
    """Draw a prompt of so many tokens: what the tokenizer puts before every text, then any tokens of the vocabulary."""
    start = session.vocabulary.framing.start[:n_tokens]
    return [*start, *(draw.randrange(session.vocabulary.n_tokens) for _ in range(n_tokens - len(start)))]


class _Timed(TypedDict):
    prompt_tokens: list[int]
    evaluated_tokens: list[int]
    seconds: list[float]


def time_prompts(session: Session, prompts: Sequence[Sequence[int]], clock: Clock, progress: Progress) -> _Timed:
    """Evaluate the prompts one after another; return tokens and seconds of each.

    Raises RuntimeError where the engine evaluated fewer tokens than were sent: it answered from a cache.
    """
    timed = _Timed(prompt_tokens=[], evaluated_tokens=[], seconds=[])
    gc.collect()
    gc.disable()
    try:
        for i, prompt in enumerate(prompts):
            start = clock()
            first = next(iter(session.generate(prompt, 1)), None)
            seconds = clock() - start
            if first is None:
                raise RuntimeError("asked for a token, got none")
            prefill = session.last_prefill
            if not prefill.evaluated_tokens == prefill.sent_tokens == len(prompt):
                raise RuntimeError(
                    f"the engine evaluated {prefill.evaluated_tokens} of {len(prompt)} prompt tokens: a prompt cache "
                    "is at work, and its speed is not this model's"
                )
            timed["prompt_tokens"].append(len(prompt))
            timed["evaluated_tokens"].append(prefill.evaluated_tokens)
            timed["seconds"].append(round(seconds, 7))
            progress("prefill", i + 1, len(prompts))
    finally:
        gc.enable()
    return timed
