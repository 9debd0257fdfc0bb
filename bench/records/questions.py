"""Which questions a suite answers, as its YAML states them and its records keep them."""

from __future__ import annotations

from msgspec import Struct


class Questions(Struct, frozen=True):
    """What a report of a suite shows beside its tables."""
