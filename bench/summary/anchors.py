"""Which variants of a sweep were timed on different cards, and the anchor beside which they are compared then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec

from bench.metrics.identity import CARD
from bench.metrics.metric import Metric, Rounds, identity_of
from bench.records.types import Record
from bench.stats.anchored import Anchored, OnCards, choose_anchor
from bench.summary.rows import Row


def with_anchor(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[Row]:
    """Return the rows of one sweep; where its cards differ, with what compares them, for every metric of one card."""
    if len({record.cards for row in rows for record in row.records}) < 2:
        return list(rows)
    anchored = {metric.name: one for metric in metrics if (one := _anchored(metric, rows))}
    return [replace(row, anchored=anchored) for row in rows]


def _anchored(metric: Metric, rows: Sequence[Row]) -> Anchored | None:
    """Return the rounds of all variants by card, None where the metric is not one of a card or comes in no rounds."""
    on_cards: dict[str, dict[str, list[Sequence[float]]]] = {row.variant: {} for row in rows}
    q = 0.5
    measured = [record for row in rows for record in row.records]
    for record in [*measured, *(times for one in measured for times in _of_anchor(one))]:
        sample = metric.sample((record,)) if metric.sample else None
        card = metric.identity(record).get(CARD)
        if card and isinstance(sample, Rounds):
            q = sample.q
            on_cards.setdefault(record.variant, {}).setdefault(card, []).extend(sample.blocks)
    timed: dict[str, OnCards] = {name: cards for name, cards in on_cards.items() if cards}
    return Anchored(choose_anchor(timed), q, timed) if timed else None


def _of_anchor(record: Record) -> Iterator[Record]:
    """Yield what was timed of the anchor after a variant, on the cards of that variant, as a record of the anchor."""
    if record.anchor:
        columns = {"latency": record.anchor.latency, "prefill": record.anchor.prefill}
        measures = {name: msgspec.Raw(msgspec.json.encode(one)) for name, one in columns.items() if one}
        yield msgspec.structs.replace(record, variant=record.anchor.variant, measures=measures)


def between(metric: Metric, before: Row, after: Row) -> Anchored | None:
    """Return what compares two variants that were timed on different cards, or on some in unequal shares of rounds.

    None where they were not: what was timed of an anchor beside others is no round of its own.
    """
    one = before.anchored.get(metric.name)
    if one is None or not all(row.variant in one.variants for row in (before, after)):
        return None
    cards = [identity_of(metric, row.records).get(CARD) for row in (before, after)]
    return one if all(cards) and cards[0] != cards[1] else None


def card_difference(metric: Metric, before: Row, after: Row) -> str:
    """Say why two variants of different cards cannot be compared; empty where they can, or share their cards."""
    anchored = between(metric, before, after)
    if anchored is None:
        return ""
    sides = (identity_of(metric, row.records)[CARD] for row in (before, after))
    cards = f"{CARD}: {' / '.join(sides)}"
    models = {tuple(card.name for card in record.cards) for row in (before, after) for record in row.records}
    if len(models - {()}) > 1:
        return f"{cards}; those of different models are not compared"
    if anchored.cards_without_anchor(before.variant, after.variant):
        return f"{cards}; measure both on one card, or {anchored.anchor} on each: it is then the anchor of both"
    return ""
