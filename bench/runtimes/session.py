"""What every runtime offers: tokens in, log-likelihoods or tokens out. It never looks at a clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.forest import Block, Limits
from variants.artifact import Artifact, Kind
from variants.tokenizer.framing import Framing

LOGITS_BYTES = 64 * 2**20
"""The most that the logits of one evaluation may take: at a vocabulary of 128 K they alone would fill the memory."""

SIDE_BY_SIDE = 2
"""Contexts of llama.cpp that score at the same time on a GPU."""

RECURRENT = "this model has recurrent layers: what they hold of a shared prefix cannot be reused"
"""Why a model cannot be scored, in either runtime."""
FROM_PYTHON = "kernel by kernel from Python"
"""How tokens are decoded on a GPU whose host launches every kernel; behind a colon, why."""

Read = tuple[NDArray[np.float64], NDArray[np.bool_]]


class Facts(TypedDict):
    """What really runs where. The keys are those of a record's `session`; the last ones depend on the runtime."""

    runtime: str
    device: str
    dtype: str
    gpu_layers: int
    layers: int
    threads: int
    n_ctx: int
    n_batch: NotRequired[int]
    flash_attention: NotRequired[str]
    system: NotRequired[str]
    attention: NotRequired[str]
    split: NotRequired[str]
    sampling: NotRequired[str]
    decoding: NotRequired[str]


class ScoringRoom(TypedDict):
    """What a session has made room for to score. The keys are those of a record's `scoring`.

    `kv_bytes` are those of one context.
    """

    n_ctx: int
    cache_tokens: int
    batch_tokens: int
    kv_type: str
    sequences: NotRequired[int]
    kv_bytes: NotRequired[int]
    attention: NotRequired[str]
    fused: NotRequired[str]


@dataclass(frozen=True)
class Prefill:
    """The last prompt as the engine counted it: tokens sent, and tokens that it really evaluated."""

    sent_tokens: int
    evaluated_tokens: int


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer's size, what stands around its texts, and its chat template.

    `texts` are the special tokens as a chat template writes them (bos_token, eos_token).
    """

    n_tokens: int
    framing: Framing
    texts: Mapping[str, str]
    chat_template: str | None

    @property
    def prefix_token_id(self) -> int:
        """The token before a text that has no context. Raises RuntimeError where the tokenizer has none."""
        if self.framing.alone is None:
            raise RuntimeError(
                "this tokenizer has no beginning-of-text and no end-of-text, so that no text can be scored alone: "
                "leave divergence out of suite.measures, and tasks without a context out of accuracy.tasks"
            )
        return self.framing.alone


class Session(Protocol):
    """An opened artifact."""

    @property
    def tools(self) -> tuple[str, ...]:
        """The packages whose version moves what this session computes: those of its runtime."""
        ...

    @property
    def facts(self) -> Facts:
        """What really runs where: device, dtype, layers on the GPU, threads, context length."""
        ...

    @property
    def n_ctx(self) -> int:
        """Tokens of context, prompt and answer together."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer that the artifact is served with."""
        ...

    @property
    def last_prefill(self) -> Prefill:
        """The last request's prompt, as the engine counted it."""
        ...

    def tokenize(self, text: str, bos: bool) -> list[int]:
        """Return the tokens of a text; with `bos` behind what the tokenizer puts before it (`Framing.framed`)."""
        ...

    def tokenize_all(self, texts: Sequence[tuple[str, bool]]) -> list[NDArray[np.int32]]:
        """Return what `tokenize` gives for each pair of a text and `bos`, on all cores."""
        ...

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of some tokens, special tokens left out."""
        ...

    def ends(self, token: int) -> bool:
        """Say whether the model ends its text with this token."""
        ...

    def generate(self, tokens: Sequence[int], n_tokens: int) -> Iterator[int]:
        """Yield `n_tokens` greedy tokens as they come, from an empty cache, end-of-text ignored."""
        ...

    def prepare_decoding(self) -> None:
        """Choose how tokens are generated, if the engine has several ways, and state it in `facts`.

        `generate` does so too; done before, no request waits for it.
        """
        ...

    def prepare_scoring(self) -> None:
        """Begin in the background what takes seconds before the first text can be scored, if there is anything."""
        ...

    def start_scoring(self, longest: int) -> tuple[Limits, ScoringRoom]:
        """Make room for paths of `longest` tokens; return what a block may hold and what was chosen, for the record."""
        ...

    def check_sharing(self) -> None:
        """Compare a shared prefix with texts evaluated alone; raise RuntimeError where this model gives other numbers.

        Runtimes that keep texts apart whatever the model do nothing. The answer belongs to an artifact and an engine.
        """
        ...

    def evaluate(self, blocks: Iterable[Block]) -> Iterator[Read]:
        """Yield, block by block, each read's log-probability of its target (nats) and whether that is the top token.

        A block whose trunk is empty starts from an empty cache; any other goes on from the block before it. Several
        blocks may be taken before the numbers of the first are there. Any other call ends a run that was left half-way.
        """
        ...

    def log_probabilities(self, block: Block) -> NDArray[np.float32]:
        """Evaluate one block as `evaluate` does; return all log-probabilities of its rows (rows, vocabulary)."""
        ...


class Runtime(Protocol):
    """Opens artifacts of the kinds in `opens`; its fields are its configuration.

    `tools` are the packages whose version moves its results: cell keys and the keys of kept scores have them.
    `expected_cost` is about how long a measured round takes, in units of llama.cpp's: for the time left alone.
    `shares_card` says whether what scoring takes of a card is known before, so that other jobs may be on it.
    """

    name: ClassVar[str]
    opens: ClassVar[tuple[Kind, ...]]
    tools: ClassVar[tuple[str, ...]]
    expected_cost: ClassVar[float]
    shares_card: ClassVar[bool]

    def check_cuda(self) -> None:
        """Raise UserError where this runtime cannot use a GPU."""
        ...

    def open(self, artifact: Artifact, device: str) -> Session:
        """Load the artifact on `device` (cpu or cuda), or raise UserError where that device is unavailable."""
        ...
