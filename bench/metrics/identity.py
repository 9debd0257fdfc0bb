"""What must be equal for two values to be comparable: the parts of an identity that metrics share."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from bench.metrics.metric import Identity
from bench.records.types import Record

NOT_STATED = "not stated"


def model(record: Record) -> dict[str, str]:
    """Name the content of the model that the variant starts from; nothing where nothing was built."""
    return {"model": record.source[:12]} if record.source else {}


def machine(record: Record) -> dict[str, str]:
    """Name the machine, its device and the runtime, on which latencies and peaks of memory depend."""
    device = (record.session or {}).get("device")
    return {**model(record), "machine": record.machine.id, "device": stated(device), "runtime": record.runtime}


def serving(record: Record) -> Identity:
    """Name the machine and the requests that it served; the requests of a round by the lengths of their prompts."""
    latency, asked = record.latency, record.config.measures.get("latency") or {}
    if latency is None:
        return machine(record)
    sent = latency.prompt_tokens
    prompts = {f"requests of round {record.round}": f"{len(sent):,} ({digest(tuple(sent))})"} if sent else {}
    return {
        **machine(record),
        "loop": stated(latency.loop),
        "output_tokens": stated(latency.output_tokens),
        **{f"latency.{key}": stated(asked.get(key)) for key in ("prompts", "prompt", "seed")},
        **prompts,
    }


def stated(value: object) -> str:
    """Write a value of a configuration."""
    return NOT_STATED if value is None else str(value)


@lru_cache(maxsize=256)
def digest(*columns: tuple[object, ...]) -> str:
    """Return a short digest of columns; it is cached, because most records have the same ones."""
    return hashlib.sha256(repr(columns).encode()).hexdigest()[:8]
