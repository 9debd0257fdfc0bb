"""Latency arithmetic, with a clock that the test holds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
import pynvml
import pytest

from bench.measures.latency import Latency, Requests, SamplesOnCards, time_requests
from bench.measures.measure import Subject
from bench.measures.memory import Memory
from bench.records import values
from bench.runtimes.session import Prefill
from tests.made_up_cards import MadeUpCard, install
from variants.errors import UserError


class Clock:
    """A clock that moves only when a session works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class ToySession:
    """Takes 5 s for a prompt, 2 s for each token after the first, and a minute once; `cached` is of each prompt."""

    def __init__(self, clock: Clock, cached: int = 0, device: str = "cpu") -> None:
        self.facts = {"device": device}
        self.clock = clock
        self.cached = cached
        self.last_prefill = Prefill(0, 0)
        self.prompts: list[str] = []
        self.is_prepared = False

    def prepare_decoding(self) -> None:
        self.clock.now += 0.0 if self.is_prepared else 60.0
        self.is_prepared = True

    def tokenize(self, text: str, bos: bool) -> list[int]:
        self.prompts.append(text)
        return [1] * 4

    def generate(self, tokens: Sequence[int], n_tokens: int) -> Iterator[int]:
        self.prepare_decoding()
        self.clock.now += 5.0
        self.last_prefill = Prefill(4, 4 - self.cached)
        yield 0
        for token in range(1, n_tokens):
            self.clock.now += 2.0
            yield token


def asking(requests: int, warmup: int, tokens: int = 2, least: int = 1, seconds: float | None = None) -> Latency:
    return Latency("bench/tasks/hr/test.jsonl", "{question}", requests, least, seconds, warmup, tokens, seed=0)


def timed(session: ToySession, prompts: Sequence[str], n_tokens: int) -> Requests:
    return time_requests(session, prompts, n_tokens, session.clock, lambda *_: None)  # type: ignore[arg-type]


def test_braces_of_a_prompt_are_text() -> None:
    session = ToySession(Clock())
    asked = replace(asking(2, 0), prompt='{"q": "{question}", {x}}}')
    asked.measure(Subject(None, session, {}), 0, lambda *_: None)  # type: ignore[arg-type]
    assert len(session.prompts) == 2
    assert all(prompt.startswith('{"q": "') and prompt.endswith('?", {x}}}') for prompt in session.prompts)


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
    measure = asking(6, 3)
    subject = Subject(None, session, {})  # type: ignore[arg-type]
    samples = measure.measure(subject, 0, lambda *_: None)
    assert len(samples["e2e_ms"]) == 6
    assert len(session.prompts) == len(set(session.prompts)) == 9
    assert samples["warmup_requests"] == len(samples["warmup_e2e_ms"]) == 3


def test_rounds_send_different_questions_and_a_round_repeats_exactly() -> None:
    sent = []
    for round_ in (0, 1, 0):
        session = ToySession(Clock())
        subject = Subject(None, session, {})  # type: ignore[arg-type]
        asking(6, 0).measure(subject, round_, lambda *_: None)
        sent.append(session.prompts)
    assert sent[0] == sent[2] != sent[1]


def test_cards_are_read_between_requests_and_never_while_one_is_timed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = MadeUpCard("GPU-a")
    install(monkeypatch, tmp_path, card)
    session = ToySession(Clock(), device="cuda")
    monkeypatch.setattr("bench.measures.latency.time.perf_counter", session.clock)

    def slow_reading(_: object) -> int:
        session.clock.now += 100.0
        card.sm_mhz -= 1
        return len(session.prompts) % 2 and 0x04

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons", slow_reading)
    samples = asking(3, 1, tokens=2).measure(Subject(None, session, {}), 0, lambda *_: None)  # type: ignore[arg-type]
    assert samples["ttft_ms"] == [5000.0] * 3
    assert samples["e2e_ms"] == [7000.0] * 3
    (read,) = cast("SamplesOnCards", samples)["cards"]
    assert read["sm_mhz"] == [1978, 1977, 1976]  # the reading after the warm-up does not count
    assert read["slowed_by"] == [[], ["SW power cap"], []]
    record = msgspec.convert(samples, values.Latency)
    assert [load.uuid for load in record.cards] == ["GPU-a"]


def test_on_a_cpu_nothing_is_read_and_nothing_is_added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, MadeUpCard("GPU-a"))
    monkeypatch.setattr("bench.machine.gpu_load.driver", lambda: pytest.fail("opened"))
    session = ToySession(Clock())
    samples = asking(2, 1).measure(Subject(None, session, {}), 0, lambda *_: None)  # type: ignore[arg-type]
    assert "cards" not in samples
    peaks = Memory().measure(Subject(None, session, {}), 0, lambda *_: None)  # type: ignore[arg-type]
    assert list(peaks) == ["peak_resident_bytes", "peak_device_bytes"]
    assert peaks["peak_device_bytes"] is None


@pytest.mark.parametrize(
    ("uses", "peak", "owner"),
    [
        ([{os.getpid(): 3 * 10**9}, {os.getpid(): 2 * 10**9, 1: 10**9}], 5 * 10**9, "process"),
        ([{os.getpid(): None}, {os.getpid(): 2 * 10**9}], 8 * 10**9, "card"),
        ([{}, {}], 8 * 10**9, "card"),
    ],
)
def test_device_memory_is_that_of_the_process_or_else_of_the_card_and_says_which(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uses: list[dict[int, int | None]], peak: int, owner: str
) -> None:
    cards = [MadeUpCard(f"GPU-{i}", bus=i, used_bytes=4 * 10**9, processes=one) for i, one in enumerate(uses)]
    install(monkeypatch, tmp_path, *cards)
    session = ToySession(Clock(), device="cuda")
    peaks = Memory().measure(Subject(None, session, {}), 0, lambda *_: None)  # type: ignore[arg-type]
    assert (peaks["peak_device_bytes"], peaks["device_memory_of"]) == (peak, owner)
    assert msgspec.convert(peaks, values.Memory).device_memory_of == owner


@pytest.mark.parametrize(
    ("each_ms", "asked"),
    [(10, 200), (60, 200), (61, 100), (120, 100), (121, 50), (215, 50), (900, 25), (9_000, 25)],
)
def test_a_slow_round_asks_half_as_many_until_they_fit_but_no_fewer_than_the_least(each_ms: float, asked: int) -> None:
    measure = asking(200, 5, least=25, seconds=12)
    assert measure.fitting([5_000, each_ms, each_ms, each_ms, 1]) == asked  # a first slow request decides nothing
    assert asking(200, 5).fitting([each_ms] * 5) == 200
    assert asking(1, 1, seconds=0.001).fitting([each_ms]) == 1


def test_a_round_that_asks_fewer_asks_the_first_of_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    for seconds in (None, 50.0):  # a request of this session takes 7 s
        session = ToySession(Clock())
        monkeypatch.setattr("bench.measures.latency.time.perf_counter", session.clock)
        subject = Subject(None, session, {})  # type: ignore[arg-type]
        samples = asking(20, 3, seconds=seconds).measure(subject, 0, lambda *_: None)
        sent.append((session.prompts, len(samples["e2e_ms"])))
    (all_prompts, n), (fewer_prompts, fewer) = sent
    assert (n, fewer) == (20, 5)
    assert fewer_prompts == all_prompts[: 3 + 5]


@pytest.mark.parametrize(
    ("requests", "warmup", "tokens", "seconds", "named"),
    [
        (0, 0, 2, None, "requests"),
        (1, -1, 2, None, "warmup_requests"),
        (1, 0, 1, None, "output_tokens"),
        (10_000, 0, 2, None, "requests"),
        (1, 1, 2, 0.0, "seconds"),
        (1, 0, 2, 5.0, "warmup_requests"),
    ],
)
def test_values_that_cannot_be_measured_are_refused(
    requests: int, warmup: int, tokens: int, seconds: float | None, named: str
) -> None:
    with pytest.raises(UserError, match=f"^{named}: got"):
        asking(requests, warmup, tokens, seconds=seconds)
