"""Step `logprobs`: log-probabilities of a fixed text under a base model, kept in half precision.

Every variant of the same runtime is compared with them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from bench.runtimes.forest import Forest, Request
from bench.runtimes.session import Runtime, Session
from variants.artifact import Artifact, Kind, StepReport
from variants.configure import configure
from variants.data.text import read_text
from variants.paths import resolve
from variants.step import CONTENT, LIBRARY_BYTES, PERMISSION, Role

DTYPES = {"windows": "<i4", "nll": "<f4", "top": "<i4", "log_probabilities": "<f2"}
LARGEST_VOCABULARY = 262_144
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class LogProbs:
    """Evaluate a base over `tokens` tokens of a text: windows of `window`, drawn by `seed`, each from an empty cache.

    The text is a file, or where `text` is null the questions and right answers of `tasks`; `content` is the digest of
    those. Revision 1 keeps numpy files, where revision 0 kept a safetensors file.
    """

    variant: str
    runtime: dict[str, Any]  # OmegaConf takes no dict of objects
    text: str | None = field(metadata=CONTENT)
    tasks: list[str]
    data_dir: str | None
    content: str
    tokens: int
    window: int
    seed: int
    trust_tasks: bool = field(default=False, metadata=PERMISSION)

    role: ClassVar[Role] = "reference"
    takes: ClassVar[tuple[Kind | None, ...]] = ("gguf", "hf")
    gives: ClassVar[Kind] = "logprobs"
    tools: ClassVar[tuple[str, ...]] = ("llama-cpp-python", "torch", "transformers", "lm-eval")
    on_device: ClassVar[bool] = True
    revision: ClassVar[int] = 1
    expected_cost: ClassVar[float] = 0.3

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Evaluate the windows. Raises RuntimeError where the text is too short or a window longer than the context."""
        assert parent is not None
        runtime: Runtime = configure(self.runtime, "runtime")
        session = runtime.open(parent, device)
        windows = self._windows(session, parent)
        kept = BaseValues.create(out, windows, session.vocabulary.n_tokens)
        rounding = np.zeros(windows.size)
        for reads, targets, rows in evaluated(session, parent, windows):
            kept.log_probabilities[reads] = rows
            kept.nll[reads] = -rows[np.arange(len(reads)), targets]
            kept.top[reads] = rows.argmax(-1)
            rounding[reads] = divergence(rows, kept.rows(reads))
        digest = hashlib.sha256(windows.astype("<i4").tobytes()).hexdigest()
        floor = float(rounding.mean()) if np.isfinite(rounding).all() else None
        return StepReport({"variant": self.variant, "tokens_sha256": digest, "rounding_floor": floor})

    def expected_bytes(self, n_parameters: int) -> int:
        """Return the bytes of one row of half-precision numbers a token.

        The vocabulary is at most `n_parameters` / 64: an embedding has 64 numbers or more a token.
        """
        return 2 * self.tokens * min(LARGEST_VOCABULARY, n_parameters // 64)

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return the memory of a model in 32 bits, which is the most that a runtime may hold."""
        return LIBRARY_BYTES + 4 * n_parameters

    def _windows(self, session: Session, parent: Artifact) -> NDArray[np.int32]:
        """Draw the windows, in the order of the text; shape (windows, window)."""
        if self.window + 1 > session.n_ctx:
            raise RuntimeError(
                f"divergence.window: got {self.window}, allowed: up to {session.n_ctx - 1}, n_ctx less 1"
            )
        tokens = session.tokenize(self._read(session, parent), bos=False)
        available, wanted = len(tokens) // self.window, -(-self.tokens // self.window)
        if available < wanted:
            raise RuntimeError(
                f"divergence.tokens: got {self.tokens:,}, but the text has {available * self.window:,} in windows of "
                f"{self.window}; ask for fewer, or give a longer divergence.text"
            )
        drawn = sorted(random.Random(self.seed).sample(range(available), wanted))
        return np.array([tokens[i * self.window : (i + 1) * self.window] for i in drawn], dtype=np.int32)

    def _read(self, session: Session, parent: Artifact) -> str:
        """Return the text; the tasks' questions in an order that `seed` shuffles."""
        if self.text is not None:
            return read_text(resolve(self.text))
        from bench.scoring.lm_eval_process import with_lm_eval
        from bench.scoring.scorer import Scorer
        from bench.tasks.ask import task_texts

        scorer = Scorer(session, parent, lambda *_: None)
        texts = with_lm_eval(scorer, task_texts, self.tasks, self.data_dir, self.seed, self.trust_tasks)
        random.Random(self.seed).shuffle(texts)
        return "\n\n".join(texts)


@dataclass(frozen=True)
class BaseValues:
    """The files of a base model: the text's tokens, and for each its log-probabilities, top token and -log p of itself.

    All are views of files: at a vocabulary of 128 K a thousand tokens take 256 MB, which need not be in memory. Shapes:
    `windows` (windows, window); `nll` and `top` (tokens); `log_probabilities` (tokens, vocabulary), in half precision.
    """

    windows: NDArray[np.int32]
    nll: Rows
    top: NDArray[np.int32]
    log_probabilities: NDArray[np.float16]

    @classmethod
    def create(cls, folder: Path, windows: NDArray[np.int32], n_vocab: int) -> BaseValues:
        """Make the files of these windows in a folder, the tokens already in them."""
        n = windows.size
        shapes = {"windows": windows.shape, "nll": (n,), "top": (n,), "log_probabilities": (n, n_vocab)}
        for name, shape in shapes.items():
            open_memmap(_file(folder, name), "w+", DTYPES[name], shape)
        kept = cls.open(folder, "r+")
        kept.windows[:] = windows
        return kept

    @classmethod
    def open(cls, folder: Path, mode: Literal["r", "r+"] = "r") -> BaseValues:
        """View the files in a folder."""
        return cls(**{name: open_memmap(_file(folder, name), mode) for name in DTYPES})

    def rows(self, reads: NDArray[np.int32]) -> Rows:
        """Return the kept log-probabilities of some reads: rounded they no longer sum to one, here they do again."""
        rows = self.log_probabilities[reads].astype(np.float32)
        rows -= np.log(np.exp(rows).sum(-1, keepdims=True))
        return rows


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def evaluated(
    session: Session, artifact: Artifact, windows: NDArray[np.int32]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], Rows]]:
    """Yield, block by block, the numbers of tokens (over all windows), the tokens, and log-probabilities before them.

    Every window follows the beginning-of-text alone; memory is that of one block's rows.
    """
    from bench.scoring.scorer import Scorer

    Scorer(session, artifact, lambda *_: None).check_sharing()
    start = [session.vocabulary.prefix_token_id]
    forest = Forest([Request(start, window) for window in windows.tolist()])
    limits, _ = session.start_scoring(forest.longest)
    for chunk in forest.chunks():
        for block in forest.blocks(chunk, limits):
            rows = session.log_probabilities(block)
            if len(block.reads):
                yield block.reads, block.targets, rows if len(rows) == len(block.reads) else rows[block.read_rows]


def divergence(of: Rows, base: Rows) -> NDArray[np.float64]:
    """Return the Kullback-Leibler divergence of each row from the base's, sum p_base (log p_base - log p), in nats."""
    possible = base > -np.inf  # a token of probability 0 in the base adds nothing: p log p goes to 0 with p
    terms = np.exp(base) * np.where(possible, base - of, 0)
    values: NDArray[np.float64] = terms.sum(-1, dtype=np.float64)
    return values
