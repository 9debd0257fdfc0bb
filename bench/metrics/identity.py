"""What must be equal for two values to be comparable: the parts of an identity that metrics share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

from bench.metrics.metric import Identity
from bench.records.types import Record

NOT_STATED = "not stated"
CARD = "measured on different cards"
"""The key of the card: cards of one model differ by several per cent, so that a latency is one of its card."""
DECODING = "decoding"
FROM_PYTHON = "kernel by kernel from Python"
"""What a session says (bench/runtimes/session.py), which has no other word for it."""
FIRST_REQUESTS = 25
"""The requests that are compared first; what follows is compared up to twice as many, four times as many, and so on."""


def model(record: Record) -> dict[str, str]:
    """Name the content of the model that the variant starts from; nothing where nothing was built."""
    return {"model": record.source[:12]} if record.source else {}


def machine(record: Record) -> dict[str, str]:
    """Name the machine, its device and the runtime, on which latencies and peaks of memory depend.

    Older records do not state whether a model was split over several cards, and then that is not compared.
    """
    device, split = (record.session or {}).get("device"), record.config.runtime.get("split")
    return {
        **model(record),
        "machine": record.machine.id,
        "device": stated(device),
        "runtime": record.runtime,
        **({"split": str(split)} if split is not None else {}),
    }


def timed(record: Record) -> Identity:
    """Name what `serving` does, the cards and the company; a part that an older record lacks is not compared."""
    return {**serving(record), **cards(record), **company(record)}


def decoded(record: Record) -> Identity:
    """Name what `timed` does, and how torch decoded: for what goes beyond the first token, which is made alike."""
    return {**timed(record), **decoding(record)}


def cards(record: Record) -> Identity:
    """Name the cards that a record was timed on; nothing where it does not state them."""
    named = ", ".join(f"{card.name} ({card.uuid})".strip() for card in record.cards)
    return {CARD: named} if named else {}


def company(record: Record) -> dict[str, str]:
    """Name whether a record was timed alone on its machine, or beside jobs of other cards on its share of the cores."""
    timed_in = record.company.get("timed")
    if timed_in is None:
        return {}
    return {"timed": "alone" if timed_in.machine == "alone" else f"one job a GPU, on {timed_in.cores} cores"}


def decoding(record: Record) -> dict[str, str]:
    """Name how torch decoded on a GPU, without why; older records do not state it, and were all decoded from Python."""
    session = record.session or {}
    if record.runtime != "transformers" or "cuda" not in str(session.get("device")):
        return {}
    return {DECODING: str(session.get("decoding", FROM_PYTHON)).partition(":")[0]}


def memory(record: Record) -> Identity:
    """Name what `serving` does, and whose the memory on the device is."""
    owner = record.memory.device_memory_of if record.memory else None
    return {**serving(record), **({"device memory of": owner} if owner else {})}


def serving(record: Record) -> Identity:
    """Name the machine and the requests that it served; the requests of a round by the lengths of their prompts.

    A round of a slow variant asks fewer requests, which are the first of the same order. So the requests are named in
    runs, and a run that only one side has is not compared: a percentile estimates the same value from fewer of them.
    """
    latency, asked = record.latency, record.config.measures.get("latency") or {}
    if latency is None:
        return machine(record)
    return {
        **machine(record),
        "loop": stated(latency.loop),
        "output_tokens": stated(latency.output_tokens),
        **{f"latency.{key}": stated(asked.get(key)) for key in ("prompts", "prompt", "seed")},
        **{
            f"requests of round {record.round + 1}, {first + 1} to {end}": digest(
                tuple(latency.prompt_tokens[first:end])
            )
            for first, end in _runs(latency.prompt_tokens)
        },
    }


def _runs(requests: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first request and the end of each run: 25 requests, the next 25, the next 50, the next 100, …"""
    first, end = 0, FIRST_REQUESTS
    while first < len(requests):
        yield first, min(end, len(requests))
        first, end = end, 2 * end


def stated(value: object) -> str:
    """Write a value of a configuration."""
    return NOT_STATED if value is None else str(value)


@lru_cache(maxsize=256)
def digest(*columns: tuple[object, ...]) -> str:
    """Return a short digest of columns; it is cached, because most records have the same ones."""
    return hashlib.sha256(repr(columns).encode()).hexdigest()[:8]
