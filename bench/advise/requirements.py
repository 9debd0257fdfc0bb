"""What a user needs of a variant: limits on latency, size, memory and quality, and the prices that cost is made of.

One file of `conf/requirements` is one such set. A limit that is null is not set.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from variants.errors import UserError

Above0 = Annotated[float, Meta(gt=0, lt=1e15)]
Share = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(min_length=1)]
Date = Annotated[str, Meta(pattern=r"^\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?$")]
Timed = Literal["e2e", "ttft", "tpot"]
FINE_TUNED, BASE = "fine-tuned", "base"
"""What `of` may say instead of a variant's name: the variant that is fine-tuned and not quantized, and the base of the
same runtime."""


class Quality(Struct, frozen=True, forbid_unknown_fields=True):
    """The least share of right answers on a task, in shares of 1; and the share of that of `of` to be kept."""

    at_least: Share | None = None
    keeps: Share | None = None
    of: Text | None = None

    def __post_init__(self) -> None:
        if (self.keeps is None) != (self.of is None):
            raise ValueError("keeps and of go together, such as keeps: 0.98 and of: fine-tuned")
        if self.keeps == 1:
            raise ValueError("keeps is 1: no number of questions can show that nothing is lost; allowed: below 1")


class NotForgotten(Struct, frozen=True, forbid_unknown_fields=True):
    """A task on which a variant may lose `margin` against the base of its runtime, in shares of 1: 0.02 is 2 points."""

    task: Text
    margin: Annotated[float, Meta(gt=0, lt=1)]


class Cost(Struct, frozen=True, forbid_unknown_fields=True):
    """Traffic and prices. A price has a currency, a date, a source and the machine that it is for."""

    price_per_hour: Above0 | None = None
    currency: Text | None = None
    price_date: Date | None = None
    price_source: Text | None = None
    priced_machine: Text | None = None
    users: Count | None = None
    requests_per_user_month: Above0 | None = None
    utilization: Share | None = None
    finetune_budget: Above0 | None = None
    months: Count | None = None

    def __post_init__(self) -> None:
        needed = ("currency", "price_date", "price_source", "priced_machine")
        missing = [name for name in needed if getattr(self, name) is None]
        if self.price_per_hour is not None and missing:
            raise ValueError(f"price_per_hour without {', '.join(missing)}: a price changes with all of them")
        if self.finetune_budget is not None and self.currency is None:
            raise ValueError("finetune_budget without currency")


class Requirements(Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of one use. `max_p50_ms`, `max_p90_ms` and `max_p99_ms` are of the latency that `latency` names."""

    title: str = ""
    target: Literal["server", "phone"] = "server"
    latency: Timed = "e2e"
    max_p50_ms: Above0 | None = None
    max_p90_ms: Above0 | None = None
    max_p99_ms: Above0 | None = None
    max_ttft_p50_ms: Above0 | None = None
    max_ttft_p99_ms: Above0 | None = None
    max_size_gb: Above0 | None = None
    max_memory_gb: Above0 | None = None
    max_training_memory_gb: Above0 | None = None
    quality: dict[str, Quality] = {}
    not_forgotten: NotForgotten | None = None
    cost: Cost = Cost()

    def __post_init__(self) -> None:
        limits = self.latency_limits()
        quality = any(task.at_least is not None or task.keeps is not None for task in self.quality.values())
        if not limits and not self._bytes() and not quality and self.not_forgotten is None:
            raise ValueError("no limit is set: every variant would meet it")
        self._check_ttft()
        for timed in ("e2e", "ttft", "tpot"):
            points = sorted((q, limit) for (name, q), limit in limits.items() if name == timed)
            for (lower, least), (upper, most) in pairwise(points):
                if least > most:
                    text = f"{timed.upper()} P{100 * lower:.0f} {least:g} ms above its P{100 * upper:.0f} {most:g} ms"
                    raise ValueError(f"contradictory limits: {text}; a lower percentile is never larger")
        if self.max_size_gb and self.max_memory_gb and self.max_size_gb > self.max_memory_gb:
            sizes = f"max_size_gb {self.max_size_gb:g} above max_memory_gb {self.max_memory_gb:g}"
            raise ValueError(f"contradictory limits: {sizes}; what does not fit the memory cannot be served")

    def latency_limits(self) -> dict[tuple[Timed, float], float]:
        """Return the limits in ms by latency and percentile, such as ("e2e", 0.99); those of `latency` come first."""
        stated: dict[tuple[Timed, float], float | None] = {
            (self.latency, 0.5): self.max_p50_ms,
            (self.latency, 0.9): self.max_p90_ms,
            (self.latency, 0.99): self.max_p99_ms,
        }
        for q, limit in ((0.5, self.max_ttft_p50_ms), (0.99, self.max_ttft_p99_ms)):
            stated["ttft", q] = limit or stated.get(("ttft", q))
        return {key: limit for key, limit in stated.items() if limit is not None}

    def _bytes(self) -> bool:
        return any(limit is not None for limit in (self.max_size_gb, self.max_memory_gb, self.max_training_memory_gb))

    def _check_ttft(self) -> None:
        pairs = (("p50", self.max_p50_ms, self.max_ttft_p50_ms), ("p99", self.max_p99_ms, self.max_ttft_p99_ms))
        for point, whole, first in pairs:
            if whole is None or first is None:
                continue
            if self.latency == "ttft" and whole != first:
                raise ValueError(f"contradictory limits: max_{point}_ms {whole:g} and max_ttft_{point}_ms {first:g}")
            if self.latency == "e2e" and first > whole:
                text = f"max_ttft_{point}_ms {first:g} above max_{point}_ms {whole:g}"
                raise ValueError(f"contradictory limits: {text}; the first token comes before the last")


_AT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")
_KEYS = {
    "": tuple(Requirements.__struct_fields__),
    "quality": tuple(Quality.__struct_fields__),
    "not_forgotten": tuple(NotForgotten.__struct_fields__),
    "cost": tuple(Cost.__struct_fields__),
}
_UNITS = {"_ms": "milliseconds", "_gb": "gigabytes (10^9 bytes)"}
_SHARES = ("at_least", "keeps", "margin", "utilization")


def requirements_of(node: object) -> Requirements:
    """Type a set of requirements. Raises UserError in one line: the key, what it got, what is allowed."""
    node = _without_null(node)
    try:
        return msgspec.convert(node, Requirements)
    except msgspec.ValidationError as error:
        raise UserError(_complaint(str(error), node)) from None


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return what an unknown name was meant to be, or all that is allowed where none is near it."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"allowed: {', '.join(known)}"


def _without_null(node: object) -> object:
    """Leave out what is null: it removes a limit. A share to be kept goes with the variant that it is of."""
    if not isinstance(node, Mapping):
        return node
    kept = {key: value for key, value in node.items() if value is not None}
    quality = kept.get("quality")
    if isinstance(quality, Mapping):
        tasks = {task: _without_null(value) for task, value in quality.items() if value is not None}
        for value in tasks.values():
            if isinstance(value, dict) and "keeps" not in value:
                value.pop("of", None)
        kept["quality"] = tasks
    return kept


def _complaint(message: str, node: object) -> str:
    parts = _AT.match(message)
    assert parts is not None  # each part of the pattern may be empty
    what, where = parts["what"], _named(parts["where"] or "", node)
    key = f"requirements.{where}".rstrip(".")
    if unknown := _UNKNOWN.search(what):
        known = _KEYS[where.partition(".")[0]]
        return f"{key}.{unknown['field']}: unknown key; {suggestion(unknown['field'], known)}"
    if not what.startswith(("Expected", "Invalid enum")):  # a check of the class itself
        return f"{key}: {what}"
    value = node
    for name in filter(None, where.split(".")):
        value = value.get(name) if isinstance(value, Mapping) else None
    return f"{key}: got {value!r}, allowed: {_allowed(where.rpartition('.')[2], what)}"


def _named(where: str, node: object) -> str:
    """Name the task where the path of an error says `[...]`: it is the one whose value cannot be typed."""
    if "[...]" not in where:
        return where
    tasks = node["quality"] if isinstance(node, Mapping) else {}
    for task, quality in tasks.items():
        try:
            msgspec.convert(quality, Quality)
        except msgspec.ValidationError:
            return where.replace("[...]", f".{task}")
    return where


def _allowed(name: str, what: str) -> str:
    if name == "latency":
        return "e2e, ttft, tpot"
    if name == "target":
        return "server, phone"
    if name == "price_date":
        return "a month or a day, such as '2026-05'"
    if name in _SHARES:
        return "a share above 0 and at most 1, such as 0.98 for 98 %"
    if unit := next((words for suffix, words in _UNITS.items() if name.endswith(suffix)), ""):
        return f"a number above 0, in {unit}, or null"
    expected = what.partition(", got")[0]
    kinds = {"object": "keys with values", "str": "text", "int": "a whole number from 1", "float": "a number above 0"}
    kind = next((words for kind, words in kinds.items() if f"`{kind}" in expected), "a number above 0")
    return f"{kind}, or null" if "| null" in expected else kind
