"""Compare variants that were timed on different cards, each beside one variant, the anchor, that ran on all of them.

Cards of one model differ by several per cent. What a card does to the anchor, it is taken to do to every variant. So a
variant's time divided by the anchor's on the same card can be compared with such a ratio of another card.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.stats.estimates import percentile
from bench.stats.rounds import UNKNOWN, Blocks, RoundsChange, Spread, block_variance, moderated, rounds_agree

ROUNDING = 1e-9
OnCards = Mapping[str, Blocks]
"""The rounds of one variant by the card that each ran on."""


def choose_anchor(variants: Mapping[str, OnCards]) -> str:
    """Return the variant that ran on the most cards; of several the first, so that a base comes before all others."""
    return max(variants, key=lambda name: len(variants[name]))


@dataclass(frozen=True)
class Anchored:
    """The rounds of all variants of a sweep by card, and the `anchor` by whose `q` percentile each is divided."""

    anchor: str
    q: float
    variants: Mapping[str, OnCards]

    def cards_without_anchor(self, *names: str) -> list[str]:
        """List the cards that any of these variants ran on and the anchor did not."""
        known = self.variants[self.anchor]
        return list(dict.fromkeys(card for name in names for card in self.variants[name] if card not in known))

    def relative(self, name: str) -> list[list[float]]:
        """Return the rounds of a variant, each divided by the anchor's percentile on the card that it ran on."""
        return [
            [value / self._of_anchor[card] for value in block]
            for card, rounds in self.variants[name].items()
            if card in self._of_anchor
            for block in rounds
        ]

    def rounds(self, name: str) -> tuple[float, ...]:
        """Return the percentile of each round beside the anchor's."""
        return tuple(percentile(block, self.q) for block in self.relative(name))

    def compare(self, before: str, after: str) -> RoundsChange:
        """Return the change from one variant to another; the anchor must have run on all cards of both.

        To the variance of both sides comes that of the anchor on each card, as far as the two did not run there in
        equal shares of their rounds. Where the anchor is one of the two, the other is compared with it card by card.
        """
        names = (before, after)
        logs, weights = [0.0, 0.0], dict.fromkeys(self._of_anchor, 0.0)
        spreads: list[tuple[float, Spread]] = []
        counts: list[int] = []
        for side, name in enumerate(names):
            if name == self.anchor:
                continue  # it is 1 on each card, with the variance of the anchor there
            rounds = self.relative(name)
            logs[side] = math.log(_percentile(rounds, self.q))
            spreads.append((1 / len(rounds), self._one_round[name]))
            counts.append(sum(map(len, rounds)))
            for card, on_card in self.variants[name].items():
                weights[card] += (1 if side else -1) * len(on_card) / len(rounds)
        for card, weight in weights.items():
            if abs(weight) > ROUNDING:
                on_card = self.variants[self.anchor][card]
                spreads.append((weight**2 / len(on_card), self._one_round[self.anchor]))
                counts.append(sum(map(len, on_card)))
        sides = [self.relative(name) for name in names]
        return RoundsChange(
            log_ratio=logs[1] - logs[0],
            standard_error=math.sqrt(sum(factor * one.variance for factor, one in spreads)),
            df=min(one.df for _, one in spreads),
            n=min(counts),
            rounds=min(map(len, sides)),
            agree=rounds_agree(sides[0], sides[1], self.q),
        )

    @cached_property
    def _of_anchor(self) -> dict[str, float]:
        return {card: _percentile(rounds, self.q) for card, rounds in self.variants[self.anchor].items()}

    @cached_property
    def _one_round(self) -> dict[str, Spread]:
        """Return how much one round of each variant differs from another on the same card, the anchor divided out.

        What all variants have in common moderates each. That of the anchor is known from all cards together, and is not
        made smaller: its error is in every comparison.
        """
        own = {
            name: _of_one_round(list(on_cards.values()) if name == self.anchor else [self.relative(name)], self.q)
            for name, on_cards in self.variants.items()
        }
        several = {name: one for name, one in own.items() if one.df}
        variances, df = moderated([one.variance for one in several.values()], [one.df for one in several.values()])
        for name, variance, freedom in zip(several, variances, df, strict=True):
            least = own[name].variance if name == self.anchor else 0.0
            own[name] = Spread(max(float(variance), least), float(freedom))
        return own


def _of_one_round(groups: Sequence[Blocks], q: float) -> Spread:
    """Return the spread of a single round of a variant, from how much the rounds of each group differ."""
    parts = [(len(rounds) - 1, len(rounds) * block_variance(rounds, q)) for rounds in groups if len(rounds) > 1]
    df = float(sum(freedom for freedom, _ in parts))
    return Spread(sum(freedom * variance for freedom, variance in parts) / df, df) if df else UNKNOWN


def _percentile(rounds: Blocks, q: float) -> float:
    return percentile([value for block in rounds for value in block], q)
