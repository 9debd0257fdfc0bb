"""Step `logprobs`: what a base model makes of a fixed text, kept in half precision for all that is held against it."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.forest import Forest, Request
from bench.runtimes.session import Runtime, Session
from variants.artifact import Artifact, Kind, Made
from variants.configure import configure
from variants.paths import resolve
from variants.step import CONTENT

FILE = "log_probabilities.safetensors"
LARGEST_VOCABULARY = 262_144
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class LogProbs:
    """Evaluate a base over `tokens` tokens of a text: windows of `window`, drawn by `seed`, each from an empty cache.

    The text is a file, or where `text` is null the questions and right answers of `tasks`, whose content is `content`.
    """

    variant: str
    runtime: dict[str, Any]
    text: str | None = field(metadata=CONTENT)
    tasks: list[str]
    data_dir: str | None
    content: str
    tokens: int
    window: int
    seed: int

    takes: ClassVar[tuple[Kind | None, ...]] = ("gguf", "hf")
    gives: ClassVar[Kind] = "logprobs"
    tools: ClassVar[tuple[str, ...]] = ("llama-cpp-python", "torch", "transformers", "lm-eval")
    on_device: ClassVar[bool] = True

    def expected_bytes(self, n_parameters: int) -> int:
        return 2 * self.tokens * min(LARGEST_VOCABULARY, n_parameters // 64)

    def run(self, parent: Artifact | None, out: Path, device: str) -> Made:
        assert parent is not None
        runtime: Runtime = configure(self.runtime, "runtime")
        session = runtime.open(parent, device)
        windows = self._windows(session, parent)
        kept = Kept.create(out / FILE, windows, session.vocabulary.n_tokens)
        rounding = np.zeros(windows.size)
        for reads, targets, rows in evaluated(session, windows):
            kept.log_probabilities[reads] = rows
            kept.nll[reads] = -rows[np.arange(len(reads)), targets]
            kept.top[reads] = rows.argmax(-1)
            rounding[reads] = divergence(rows, kept.rows(reads))
        digest = hashlib.sha256(windows.astype("<i4").tobytes()).hexdigest()
        floor = float(rounding.mean()) if np.isfinite(rounding).all() else None
        return Made({"variant": self.variant, "tokens_sha256": digest, "rounding_floor": floor})

    def _windows(self, session: Session, parent: Artifact) -> NDArray[np.int32]:
        """Draw the windows, in the order of the text; shape (windows, window)."""
        if self.window + 1 > session.n_ctx:
            raise RuntimeError(
                f"divergence.window: got {self.window}, allowed: up to {session.n_ctx - 1}, n_ctx less 1"
            )
        tokens = session.tokenize(self._read(session, parent), bos=False)
        there, wanted = len(tokens) // self.window, -(-self.tokens // self.window)
        if there < wanted:
            raise RuntimeError(
                f"divergence.tokens: got {self.tokens:,}, but the text has {there * self.window:,} in windows of "
                f"{self.window}; ask for fewer, or give a longer divergence.text"
            )
        drawn = sorted(random.Random(self.seed).sample(range(there), wanted))
        return np.array([tokens[i * self.window : (i + 1) * self.window] for i in drawn], dtype=np.int32)

    def _read(self, session: Session, parent: Artifact) -> str:
        if self.text is not None:
            return resolve(self.text).read_text(encoding="utf-8")
        from bench.scoring.lm_eval_process import with_lm_eval
        from bench.scoring.scorer import Scorer
        from bench.tasks.ask import task_texts
        from bench.tasks.questions import TaskQuestions

        questions = TaskQuestions(tuple(self.tasks), self.seed, self.data_dir)
        texts = with_lm_eval(Scorer(session, parent, lambda *_: None), task_texts, questions)
        random.Random(self.seed).shuffle(texts)
        return "\n\n".join(texts)


class Kept:
    """The file of a base: its tokens, and for each the log-probabilities before it, the top token and -log p of itself.

    All are views of the file: at a vocabulary of 128 K a thousand tokens take 256 MB, which need not be in memory.
    """

    def __init__(self, path: Path, mode: Literal["r", "r+"] = "r") -> None:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            described = json.loads(stream.read(length))

        def view(name: str, kind: type) -> Any:
            start = 8 + length + described[name]["data_offsets"][0]
            return np.memmap(path, kind, mode, start, tuple(described[name]["shape"]))

        self.windows: NDArray[np.int32] = view("tokens", np.int32)
        self.nll: Rows = view("nll", np.float32)
        self.top: NDArray[np.int32] = view("top", np.int32)
        self.log_probabilities: NDArray[np.float16] = view("log_probabilities", np.float16)

    @staticmethod
    def create(path: Path, windows: NDArray[np.int32], n_vocab: int) -> Kept:
        """Make a file for so many tokens, its tokens already in it."""
        header, n_bytes = _header(windows.shape, n_vocab)
        with path.open("wb") as stream:
            stream.write(header)
            stream.truncate(len(header) + n_bytes)
        kept = Kept(path, "r+")
        kept.windows[:] = windows
        return kept

    def rows(self, reads: NDArray[np.int32]) -> Rows:
        """Return the kept log-probabilities of some reads: rounded they no longer sum to one, here they do again."""
        rows = self.log_probabilities[reads].astype(np.float32)
        rows -= np.log(np.exp(rows).sum(-1, keepdims=True))
        return rows


def _header(shape: tuple[int, ...], n_vocab: int) -> tuple[bytes, int]:
    """Return the header of a safetensors file (huggingface/safetensors, README, "Format") and the bytes behind it."""
    n = shape[0] * shape[1]
    kinds = {"tokens": ("I32", 4, shape), "nll": ("F32", 4, (n,)), "top": ("I32", 4, (n,))}
    kinds["log_probabilities"] = ("F16", 2, (n, n_vocab))
    tensors, start = {}, 0
    for name, (dtype, value_bytes, size) in kinds.items():
        end = start + value_bytes * math.prod(size)
        tensors[name] = {"dtype": dtype, "shape": list(size), "data_offsets": [start, end]}
        start = end
    text = json.dumps(tensors).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, start


def evaluated(
    session: Session, windows: NDArray[np.int32]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], Rows]]:
    """Yield, block by block, the numbers of tokens (over all windows), the tokens, and log-probabilities before them.

    Every window stands behind the beginning-of-text alone; memory is that of one block's rows.
    """
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
    possible = base > -np.inf  # what the base rules out adds nothing: p log p goes to 0 with p
    terms = np.exp(base) * np.where(possible, base - of, 0)
    values: NDArray[np.float64] = terms.sum(-1, dtype=np.float64)
    return values
