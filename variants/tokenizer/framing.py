"""What stands before and after a text: one rule for scoring, serving, training and divergence, in every engine.

It is that of lm-eval's own model (HFLM): a text follows what its tokenizer puts before texts, unless it has that
written out. One thing is not: what a tokenizer appends is never taken. Behind an appended `</s>` a model has ended, so
that HFLM, which keeps it, scores answers behind their own end and counts `</s>` instead of their first token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBES = ("a", "0", ".", "\n")
"""Texts of which every tokenizer knows one."""


@dataclass(frozen=True)
class Framing:
    """The tokens around a text: `start` goes before every one, which in most models is beginning-of-text or nothing.

    `bos` and `end` are beginning-of-text and end-of-text, None where a tokenizer has none. `written` is how the token
    before a text that stands alone is written out, None where there is none.
    """

    start: tuple[int, ...]
    bos: int | None
    end: int | None
    written: str | None

    @property
    def alone(self) -> int | None:
        """The token before a text without context, as lm-eval has it: beginning-of-text, else end-of-text."""
        return self.end if self.bos is None else self.bos

    def before(self, text: str) -> tuple[int, ...]:
        """Return what goes before a text: `start`, and nothing where the text has it written out."""
        return () if self.written and text.startswith(self.written) else self.start

    def framed(self, text: str, tokens: Sequence[int]) -> list[int]:
        """Return the tokens of a text behind what goes before it."""
        return [*self.before(text), *tokens]

    def ended(self, tokens: Sequence[int]) -> list[int]:
        """Return the tokens of a whole answer: end-of-text is its last, where the model has one."""
        return list(tokens) if self.end is None else [*tokens, self.end]


def framing_of(tokenizer: PreTrainedTokenizerBase) -> Framing:
    """Return the framing of a tokenizer, `start` as it really begins a text, whatever its configuration says.

    Raises RuntimeError where a text has other tokens behind its start than alone, so that no start can be told.
    """
    bos, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    written = tokenizer.eos_token if bos is None else tokenizer.bos_token
    probe = next((text for text in PROBES if bare_tokens(tokenizer, text)), "")
    bare, full = bare_tokens(tokenizer, probe), list(tokenizer(probe).input_ids)
    places = [place for place in range(len(full)) if bare and full[place : place + len(bare)] == bare]
    if not places:
        raise RuntimeError(
            f"this tokenizer reads {probe!r} as the tokens {full}, and as {bare} without special tokens: what it puts "
            "before a text is not known, so that no text can be asked"
        )
    return Framing(tuple(full[: places[0]]), bos, end, None if written is None else str(written))


def all_bare_tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Return the `bare_tokens` of each text; the tokenizers library does many at once on all cores, without Python."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return [bare_tokens(tokenizer, text) for text in texts]
    return [one.ids for one in fast.encode_batch_fast(list(texts), add_special_tokens=False)]


def bare_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the tokens of a text and nothing else; special tokens that it has written out are what they are."""
    return list(tokenizer(text, add_special_tokens=False).input_ids)
