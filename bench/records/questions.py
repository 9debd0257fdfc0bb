"""Which questions a suite answers, as its YAML states them (`suite.questions`) and its records keep them.

A report shows a table per question, in the words that stand here; a suite without questions gets a report without them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bench.records.values import Positive

Text = Annotated[str, Meta(min_length=1)]
Above0 = Positive


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """What a publication claims for an option, on a model and a machine of its own; `cost` is in its own words."""

    size_gb: Above0
    latency_ms: Above0
    quality_percent: Above0
    cost: str = ""


class Option(Struct, frozen=True, forbid_unknown_fields=True):
    """One way to optimize a model: the variant that stands for it, and what is claimed for it."""

    title: Text
    variant: Text
    claim: Claim | None = None


class Claimed(Struct, frozen=True, forbid_unknown_fields=True):
    """A claim on one change: how many times better `after` is than `before`, or which share of quality it keeps.

    `metric` is what the claim is about here: a metric by its name, `accuracy` (on the domain task: the share kept) or
    `cost`. `times` has the number that is claimed, or both ends of a range. `source` says where it is claimed.
    """

    title: Text
    metric: Text
    times: Annotated[tuple[Above0, ...], Meta(min_length=1, max_length=2)]
    before: Text
    after: Text
    source: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """Return the smallest and the largest number that is claimed."""
        return self.times[0], self.times[-1]

    def __post_init__(self) -> None:
        if self.ends[0] > self.ends[1]:
            raise ValueError(f"times: got {list(self.ends)}, allowed: the smaller number first")


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """A row per option: size, latency, accuracy on the domain task and cost, and below it what is claimed for it.

    What is claimed for an option is compared with what is claimed for the first. `claimed_by` names who claims it. A
    suite without a domain task has no rows, and `claims` alone.
    `kept` stands in older records, and is read no more.
    """

    title: Text
    says: str
    rows: tuple[Option, ...] = ()
    claimed_by: Text = "Claimed"
    claims: tuple[Claimed, ...] = ()
    kept: dict[str, str] | None = None


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """Variants that differ in the order of their steps, each compared with `anchor`."""

    title: Text
    says: str
    anchor: Text
    variants: Annotated[tuple[Text, ...], Meta(min_length=1)]


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One change: its title, the variant before it and the one after."""

    title: Text
    before: Text
    after: Text


class Changes(Struct, frozen=True, forbid_unknown_fields=True):
    """A row per change, such as of the runtime or of the precision: ratios before ÷ after, and points of accuracy."""

    title: Text
    says: str
    rows: Annotated[tuple[Change, ...], Meta(min_length=1)]


class Questions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a report of a suite shows beside its tables.

    `general_task` tests what the model knew before, `domain_task` what the fine-tune teaches.
    """

    general_task: Text | None = None
    domain_task: Text | None = None
    options: Options | None = None
    order: Order | None = None
    changes: Changes | None = None

    def __post_init__(self) -> None:
        if self.options and self.options.rows and not self.domain_task:
            raise ValueError("options.rows needs a domain_task, on which the options are compared")
        if self.options and not (self.options.rows or self.options.claims):
            raise ValueError("options has neither rows nor claims")

    def variants(self) -> dict[str, str]:
        """Return the names of the variants that are asked about, by their keys in the YAML."""
        named: dict[str, str] = {}
        if self.options:
            named |= {f"options.rows[{i}].variant": row.variant for i, row in enumerate(self.options.rows)}
        for i, claim in enumerate(self.options.claims if self.options else ()):
            named |= {f"options.claims[{i}].before": claim.before, f"options.claims[{i}].after": claim.after}
        if self.order:
            named["order.anchor"] = self.order.anchor
            named |= {f"order.variants[{i}]": name for i, name in enumerate(self.order.variants)}
        for i, row in enumerate(self.changes.rows if self.changes else ()):
            named |= {f"changes.rows[{i}].before": row.before, f"changes.rows[{i}].after": row.after}
        return named
