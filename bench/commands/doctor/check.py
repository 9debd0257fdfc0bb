"""One line of `bench doctor`."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "note", "bad"]


class Check(msgspec.Struct, frozen=True):
    """What was looked at, what is there, and whether the suite can run with it."""

    name: str
    text: str
    level: Level


def gigabytes(n_bytes: float) -> str:
    """Return bytes as GB, or MB where that would be less than 0.1."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
