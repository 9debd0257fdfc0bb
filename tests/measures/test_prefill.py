"""Prefill: prompts of stated lengths, no two alike, timed from the call to the first token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pynvml
import pytest

from bench.measures.measure import Subject
from bench.measures.prefill import Prefill, time_prompts
from bench.records import values as records
from bench.runtimes import session
from bench.runtimes.session import Session
from tests.made_up_cards import MadeUpCard, install
from variants.errors import UserError


class ToySession:
    """Takes a second for each token of a prompt, and a minute once; keeps `cached` tokens to itself."""

    def __init__(self, cached: int = 0, n_ctx: int = 64, device: str = "cpu") -> None:
        self.now = 0.0
        self.cached = cached
        self.n_ctx = n_ctx
        self.facts = {"runtime": "toy", "device": device}
        self.vocabulary = SimpleNamespace(n_tokens=1000, framing=SimpleNamespace(start=(7,)))
        self.last_prefill = session.Prefill(0, 0)
        self.prompts: list[list[int]] = []
        self.is_prepared = False

    def prepare_decoding(self) -> None:
        self.now += 0.0 if self.is_prepared else 60.0
        self.is_prepared = True

    def generate(self, tokens: Sequence[int], n_tokens: int) -> Iterator[int]:
        self.prepare_decoding()
        self.prompts.append(list(tokens))
        self.now += len(tokens)
        self.last_prefill = session.Prefill(len(tokens), len(tokens) - self.cached)
        yield from range(n_tokens)


def measured(toy: ToySession, measure: Prefill, round_: int = 0) -> dict[str, object]:
    subject = SimpleNamespace(session=toy)
    return dict(measure.measure(cast(Subject, subject), round_, lambda *_: None))


def test_a_prompt_takes_the_time_to_its_first_token() -> None:
    toy = ToySession()
    timed = time_prompts(cast(Session, toy), [[1] * 4, [2] * 9], lambda: toy.now, lambda *_: None)
    assert timed == {"prompt_tokens": [4, 9], "evaluated_tokens": [4, 9], "seconds": [4.0, 9.0]}


def test_cards_are_read_between_prompts_and_never_while_one_is_timed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = MadeUpCard("GPU-a")
    install(monkeypatch, tmp_path, card)
    toy = ToySession(device="cuda")
    monkeypatch.setattr("bench.measures.prefill.time.perf_counter", lambda: toy.now)

    def slow_reading(_: object) -> int:
        toy.now += 100.0
        card.sm_mhz -= 1
        return len(toy.prompts) % 2 and 0x04

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons", slow_reading)
    values = measured(toy, Prefill([4, 9], times=1, warmup_prompts=1, seed=0))
    assert values["seconds"] == [4.0, 9.0]
    (read,) = msgspec.convert(values, records.Prefill).cards
    assert (read.uuid, read.sm_mhz, read.slowed_by) == ("GPU-a", [1977, 1976], [["SW power cap"], []])
    assert "cards" not in measured(ToySession(), Prefill([4], times=1, warmup_prompts=0, seed=0))


def test_lengths_take_turns_behind_a_warm_up_of_each_that_does_not_count() -> None:
    toy = ToySession()
    values = measured(toy, Prefill([4, 9], times=2, warmup_prompts=1, seed=0))
    assert [len(prompt) for prompt in toy.prompts] == [4, 9, 4, 9, 4, 9]
    assert values["prompt_tokens"] == [4, 9, 4, 9]
    assert values["warmup_prompts"] == 1


def test_no_two_prompts_are_alike_in_any_round_and_all_begin_as_texts_do() -> None:
    prompts = []
    for round_ in range(2):
        toy = ToySession()
        measured(toy, Prefill([8], times=5, warmup_prompts=1, seed=0), round_)
        prompts += [tuple(prompt) for prompt in toy.prompts]
    assert len(set(prompts)) == 12
    assert {prompt[0] for prompt in prompts} == {7}
    assert all(0 <= token < 1000 for prompt in prompts for token in prompt)


def test_a_prompt_cache_is_an_error_and_no_value() -> None:
    with pytest.raises(RuntimeError, match=r"evaluated 3 of 4 prompt tokens: a prompt cache is at work"):
        measured(ToySession(cached=1), Prefill([4], times=1, warmup_prompts=0, seed=0))


def test_a_prompt_that_the_context_cannot_hold_is_refused_with_the_key_that_makes_room() -> None:
    with pytest.raises(UserError, match=r"^prefill\.lengths: got 64, allowed: less than .* 64 tokens .*toy\.n_ctx"):
        measured(ToySession(n_ctx=64), Prefill([4, 64], times=1, warmup_prompts=0, seed=0))


@pytest.mark.parametrize("lengths", [[], [0], [4, 4]])
def test_lengths_are_different_and_at_least_one_token(lengths: list[int]) -> None:
    with pytest.raises(UserError, match=r"^lengths: got "):
        Prefill(lengths, times=1, warmup_prompts=0, seed=0)
