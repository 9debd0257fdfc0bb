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
