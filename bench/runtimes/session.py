"""What every runtime offers to the measures: tokens in, log-likelihoods or tokens out. It never looks at a clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from variants.artifact import Artifact, Kind


@dataclass(frozen=True)
class Prefill:
    """What the engine says of the last prompt: tokens sent and tokens it really evaluated."""

    sent_tokens: int
    evaluated_tokens: int


class Scorer(Protocol):
    """The part of a session that scoring needs."""

    @property
    def n_ctx(self) -> int:
        """Tokens of context, prompt and answer together."""
        ...

    @property
    def eot_token_id(self) -> int:
        """The end-of-text token, the context of a request without one where there is no beginning-of-text."""
        ...

    @property
    def bos_token_id(self) -> int | None:
        """The beginning-of-text token, if the model's tokenizer starts texts with one."""
        ...

    def tokenize(self, text: str, bos: bool) -> list[int]:
        """Return the tokens of a text, after the beginning-of-text token if asked for and if the model has one."""
        ...

    def score(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[tuple[float, bool]]:
        """Return, for each continuation, its log-likelihood (nats) behind the context and whether it is greedy.

        Context and continuation together fit `n_ctx` + 1 tokens: the last one is never evaluated.
        """
        ...


class Session(Scorer, Protocol):
    """An opened artifact."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What really runs where: device, dtype, layers on the GPU, threads, context length."""
        ...

    @property
    def last_prefill(self) -> Prefill:
        """The last request's prompt, as the engine counted it."""
        ...

    def generate(self, prompt: str, n_tokens: int) -> Iterator[int]:
        """Yield `n_tokens` greedy tokens as they come, from an empty cache, end-of-text ignored."""
        ...


class Runtime(Protocol):
    """Opens artifacts of the kinds in `opens`; its fields are its configuration."""

    name: ClassVar[str]
    opens: ClassVar[tuple[Kind, ...]]
    tools: ClassVar[tuple[str, ...]]

    def check_cuda(self) -> None:
        """Raise UserError where this runtime cannot use a GPU."""
        ...

    def open(self, artifact: Artifact, device: str) -> Session:
        """Load the artifact on `device` (cpu or cuda), or raise UserError where that device cannot be had."""
        ...
