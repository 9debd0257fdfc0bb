"""Compare an artifact's tokenizer with its source's, on the texts that are really asked and as they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from variants.tokenizer.framing import Framing, framing_of

Ints = NDArray[np.int32]
SHOWN_TOKENS = 12
"""Tokens of a difference between two tokenizers that the record shows."""


class Example(TypedDict):
    """A text that two tokenizers cut differently: its end, and the tokens around the first difference."""

    text: str
    from_token: int
    gguf: list[int]
    hf: list[int]


class Starts(TypedDict):
    """What each of two tokenizers puts before a text."""

    gguf: list[int]
    hf: list[int]


class TokenizerComparison(TypedDict):
    """On how many texts the artifact's tokenizer differs from its source's: a record's `tokenizer`.

    `starts` is there where the two put other tokens before every text, `alone` where they put another one before a text
    without context and one was asked.
    """

    compared: int
    different: int
    example: Example | None
    starts: NotRequired[Starts]
    alone: NotRequired[Starts]


class TokenizerParity:
    """Counts the texts that an artifact and its source in `folder` read as other tokens; `counted` is what came of it.

    Special tokens that a text has written out count as what they are, and what goes before a text counts with it.
    """

    def __init__(self, folder: Path, framing: Framing) -> None:
        from transformers import AutoTokenizer

        self.counted: TokenizerComparison = {"compared": 0, "different": 0, "example": None}
        self._source = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self._own, self._other = framing, framing_of(self._source)
        self._seen: set[int] = set()

    def compare(self, asked: Sequence[tuple[str, bool]], tokenized: Sequence[Ints]) -> None:
        """Compare the tokens of texts, each asked for with or without what goes before it."""
        pairs = zip(asked, tokenized, strict=True)
        new = {hash(key): (key, tokens) for key, tokens in pairs if hash(key) not in self._seen}
        self._seen |= new.keys()
        if not new:
            return
        theirs = self._source([text for (text, _), _ in new.values()], add_special_tokens=False).input_ids
        for ((text, framed), tokens), bare in zip(new.values(), theirs, strict=True):
            own, other = tokens.tolist(), self._other.framed(text, bare) if framed else list(bare)
            self.counted["compared"] += 1
            if own != other:
                self.counted["different"] += 1
                self.counted["example"] = self.counted["example"] or example(text, own, other)
            if framed and self._own.start != self._other.start:
                self.counted["starts"] = {"gguf": list(self._own.start), "hf": list(self._other.start)}

    def stand_alone(self) -> None:
        """Compare what goes before a text without context: call it where one is asked."""
        own, other = ([] if each.alone is None else [each.alone] for each in (self._own, self._other))
        if own != other:
            self.counted["alone"] = {"gguf": own, "hf": other}


def example(text: str, own: Sequence[int], other: Sequence[int]) -> Example:
    """Return the tokens around the first difference of two tokenizations, and the end of the text."""
    first = next((i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), min(len(own), len(other)))
    start = max(0, first - 2)
    shown = slice(start, start + SHOWN_TOKENS)
    return {"text": text[-200:], "from_token": start, "gguf": list(own[shown]), "hf": list(other[shown])}
