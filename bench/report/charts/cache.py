"""Charts that were drawn before: one of the same content, by the same code, is read back and not drawn again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.files import write_at_once
from variants.paths import ROOT


def kept(path: Path, content: object, draw: Callable[[], str]) -> str:
    """Return the chart that a file keeps if it was drawn from this content; else draw it, and keep it there.

    `content` is made of dataclasses, tuples and what JSON has. The first line of the file is a digest of it and of all
    code that may have a say in the drawing.
    """
    key = hashlib.sha256(_code() + msgspec.json.encode(content, enc_hook=_plain)).hexdigest()
    try:
        drawn_from, _, svg = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        drawn_from = svg = ""
    if drawn_from != key or not svg:
        svg = draw()
        with suppress(OSError):  # the chart is drawn all the same; `bench history` says that nothing is kept
            path.parent.mkdir(parents=True, exist_ok=True)
            write_at_once(path, f"{key}\n{svg}")
    return svg


def _plain(value: object) -> object:
    """Return what stands for a value that JSON has no word for: nothing for a function, which is code."""
    return list(value) if isinstance(value, Iterable) else None


@cache
def _code() -> bytes:
    sources = sorted((ROOT / "bench").rglob("*.py"))
    return version("matplotlib").encode() + b"".join(source.read_bytes() for source in sources)
