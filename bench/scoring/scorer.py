"""Score every variant by the same code: shared prefixes are evaluated once, and scores are kept in the cache."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from bench.files import read_sealed, write_sealed
from bench.machine.hardware import machine, versions
from bench.runtimes.forest import CHUNK_TOKENS, Chunk, Forest, Limits, Request
from bench.runtimes.session import Session
from variants.artifact import Artifact
from variants.cache import Cache

VERSION = "forest-2"
"""Raise it with any change that moves a score, if only by its last bit: kept scores are never mixed with others."""
OWN_TOOLS = ("numpy",)
"""Packages whose version moves a score in the scorer itself, beside those of the session's runtime."""
BLOCKS = 4
"""A chunk has about so many blocks at least, which are cut alike: few blocks are much smaller than they may be."""
OF_COMPLETIONS = ("n_batch", "decoding")
"""Facts that move completions only: the batches in which a prompt is evaluated, and how tokens are generated."""
SHARED = b"prefixes can be shared"
"""The content of the file that keeps the answer of a session's `check_sharing`."""
Score = tuple[float, bool]
"""A log-likelihood in nats, and whether greedy decoding would give the same tokens."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""


class Scoring(TypedDict, total=False):
    """How requests were scored: a record's `scoring`. Generated answers have only `requests` and `n_ctx`."""

    requests: int
    tokens: int
    evaluated_tokens: int
    n_ctx: int
    cache_tokens: int
    batch_tokens: int
    kv_type: str
    sequences: int
    kv_bytes: int
    attention: str
    fused: str


class Scorer:
    """Scores requests and completes prompts through a session.

    Scores are kept by chunk in `<cache>/scores/<fingerprint>`. A chunk is evaluated from an empty cache, and its file
    is sealed and named by all that moves its bits (the artifact's bytes, scorer, engine, settings, tokens): what is
    read back is the same.
    """

    def __init__(self, session: Session, artifact: Artifact, progress: Progress) -> None:
        self.session = session
        self.progress = progress
        self._kept = Cache.of(artifact).scores(artifact.fingerprint)
        self._content = [one.content for one in artifact.deployed()]
        session.prepare_scoring()

    def score(self, requests: Sequence[Request]) -> tuple[list[Score], Scoring]:
        """Return each request's log-likelihood (nats) and whether it is greedy, and how it was scored."""
        forest = Forest(requests)
        self.check_sharing()
        limits, chosen = self.session.start_scoring(forest.longest)
        picked = np.full(int(forest.starts[-1]), np.nan)
        greedy = np.zeros(len(picked), dtype=bool)
        answered = np.zeros(len(picked), dtype=bool)
        asked: list[tuple[Chunk, Path]] = []
        for chunk in forest.chunks(max(CHUNK_TOKENS, BLOCKS * limits.tokens)):
            file = self._kept / f"{self._key(chosen, chunk.key)}.sealed"
            kept = load(file, len(chunk.reads))
            if kept is None:
                asked.append((chunk, file))
            else:
                picked[chunk.reads], greedy[chunk.reads], answered[chunk.reads] = kept[0], kept[1] != 0, True
        done = forest.distinct_tokens - sum(chunk.tokens for chunk, _ in asked)
        evaluated = self._evaluate(forest, [chunk for chunk, _ in asked], limits)
        for (chunk, file), scored in zip(asked, evaluated, strict=True):
            save(file, scored)
            done += chunk.tokens
            self.progress("scoring tokens", done, forest.distinct_tokens)  # kept scores set no pace
            picked[chunk.reads], greedy[chunk.reads], answered[chunk.reads] = scored[0], scored[1] != 0, True
        assert answered.all(), "a request was left without an answer"
        spans = zip(forest.starts[:-1], forest.starts[1:], strict=True)
        scores = [(float(picked[a:b].sum()), bool(greedy[a:b].all())) for a, b in spans]
        assert len(scores) == len(requests)
        scoring: Scoring = {
            "requests": len(requests),
            "tokens": forest.total_tokens,
            "evaluated_tokens": forest.distinct_tokens,
            **chosen,
        }
        return scores, scoring

    def _evaluate(self, forest: Forest, chunks: Sequence[Chunk], limits: Limits) -> Iterator[NDArray[np.float64]]:
        """Yield log-probability and greediness of each chunk's reads, shape (2, reads).

        All blocks are one stream: a GPU does not wait between two chunks.
        """
        blocks = (block for chunk in chunks for block in forest.blocks(chunk, limits))
        evaluated = self.session.evaluate(blocks)
        for chunk in chunks:
            parts: list[NDArray[np.float64]] = []
            while sum(part.shape[1] for part in parts) < len(chunk.reads):
                parts.append(np.stack(next(evaluated)))
            yield np.concatenate(parts, axis=1)

    def check_sharing(self) -> None:
        """Check once that this artifact can be scored behind shared prefixes; the cache keeps that it can.

        Raises RuntimeError where it cannot.
        """
        file = self._kept / f"{self._key('sharing')}.sealed"
        if read_sealed(file) is None:
            self.progress("checking shared prefixes", 0, 1)
            self.session.check_sharing()
            write_sealed(_folder(file), SHARED)

    def _key(self, *asked: object, completes: bool = False) -> str:
        """Return the sha256 of all that moves an answer's bits: built again, a fingerprint may have other bytes."""
        facts = {name: fact for name, fact in self.session.facts.items() if completes or name not in OF_COMPLETIONS}
        tools = versions((*self.session.tools, *OWN_TOOLS))
        identity = [VERSION, self._content, facts, tools, machine().id, *asked]
        return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()

    def complete(self, tokens: Sequence[int], n_tokens: int, until: Sequence[str]) -> str:
        """Return the greedy continuation up to the first text of `until`, the model's own end, or `n_tokens`."""
        self.session.prepare_decoding()
        endless = ["no end of text"] if self.session.vocabulary.framing.end is None else []
        file = self._kept / f"{self._key(list(tokens), n_tokens, list(until), *endless, completes=True)}.sealed"
        if (kept := read_sealed(file)) is not None:
            return kept.decode()
        made: list[int] = []
        text = ""
        for token in self.session.generate(tokens, n_tokens):
            if self.session.ends(token):
                break
            made.append(token)
            text = self.session.detokenize(made)
            if any(stop in text for stop in until):
                break
        for stop in until:
            text = text.split(stop)[0]
        write_sealed(_folder(file), text.encode())
        return text

    def tokenize(self, texts: Sequence[tuple[str, bool]]) -> list[NDArray[np.int32]]:
        """Return the tokens of each text, behind the beginning-of-text token where the second of the pair says so."""
        return self.session.tokenize_all(texts)


def load(file: Path, n_reads: int) -> NDArray[np.float64] | None:
    """Return the kept scores of a chunk, None where there are none or the file is broken."""
    content = read_sealed(file)
    if content is None:
        return None
    scored: NDArray[np.float64] = np.load(io.BytesIO(content))
    return scored if scored.shape == (2, n_reads) else None


def save(file: Path, scores: NDArray[np.float64]) -> None:
    """Write the scores of a chunk; a reader sees all of them or no file."""
    stream = io.BytesIO()
    np.save(stream, scores)
    write_sealed(_folder(file), stream.getvalue())


def _folder(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
