"""Prefill: how fast prompts of stated lengths are evaluated, timed by the caller of the session."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypedDict

from bench.machine.gpu_load import CardColumns, watching
from bench.measures.measure import Progress, Subject, cards_of
from bench.runtimes.session import Session
from variants.configure import check_least
from variants.errors import UserError

Clock = Callable[[], float]


class Prompts(TypedDict):
    """One value per prompt, in the order sent."""

    prompt_tokens: list[int]
    evaluated_tokens: list[int]
    seconds: list[float]


class Samples(Prompts):
    """The prompts of one round, and how many went before, for each length."""

    warmup_prompts: int


class SamplesOnCards(Samples):
    """The prompts of one round on GPUs, and what each card did during every prompt."""

    cards: list[CardColumns]


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

    def check_context(self, n_ctx: int, runtime: str) -> None:
        """Raise UserError for a prompt that a context of so many tokens cannot hold with the token it is timed to."""
        if max(self.lengths) >= n_ctx:
            raise UserError(
                f"prefill.lengths: got {max(self.lengths)}, allowed: less than the context of {n_ctx} tokens "
                f"(runtime.{runtime}.n_ctx, and never more than the model's own)"
            )

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Samples:
        """Return the tokens and the seconds of every prompt. Raises UserError for one that the context cannot hold."""
        session = subject.session
        self.check_context(session.n_ctx, session.facts["runtime"])  # a model may hold less than its config.json says
        draw = random.Random(self.seed * 1000 + round_)
        lengths = self.lengths * (self.warmup_prompts + self.times)
        prompts = [random_prompt(draw, length, session) for length in lengths]
        warmup = len(self.lengths) * self.warmup_prompts
        cards = cards_of(session)
        with watching(cards) as watch:
            time_prompts(session, prompts[:warmup], time.perf_counter, lambda *_: None, watch.read)
            watch.restart()
            timed = time_prompts(session, prompts[warmup:], time.perf_counter, progress, watch.read)
        samples: Samples = {"warmup_prompts": self.warmup_prompts, **timed}
        return SamplesOnCards(**samples, cards=watch.columns()) if cards else samples


def random_prompt(draw: random.Random, n_tokens: int, session: Session) -> list[int]:
    """Draw a prompt of so many tokens: what the tokenizer puts before every text, then any tokens of the vocabulary."""
    start = session.vocabulary.framing.start[:n_tokens]
    return [*start, *(draw.randrange(session.vocabulary.n_tokens) for _ in range(n_tokens - len(start)))]


def time_prompts(
    session: Session,
    prompts: Sequence[Sequence[int]],
    clock: Clock,
    progress: Progress,
    between: Callable[[], None] = lambda: None,
) -> Prompts:
    """Evaluate the prompts one after another; return tokens and seconds of each.

    `between` is called after each prompt, while no clock runs.

    Raises RuntimeError where the engine evaluated fewer tokens than were sent: it answered from a cache.
    """
    timed = Prompts(prompt_tokens=[], evaluated_tokens=[], seconds=[])
    session.prepare_decoding()  # no prompt waits for it
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
            between()
            progress("prefill", i + 1, len(prompts))
    finally:
        gc.enable()
    return timed
