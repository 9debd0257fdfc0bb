"""The one scorer, for every variant alike: what an evaluation shares is evaluated once, and what is scored is kept."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.files import write_at_once
from bench.machine.hardware import machine, versions
from bench.runtimes.forest import Chunk, Forest, Limits, Request
from bench.runtimes.session import Session
from variants.artifact import Artifact
from variants.cache import Cache
from variants.process import usable_cores

VERSION = "forest-1"
"""Raise it with any change that moves a score, if only by its last bit: kept scores are never mixed with others."""
ENGINES = ("llama-cpp-python", "torch", "transformers", "peft", "bitsandbytes", "numpy")
Score = tuple[float, bool]


class Scorer:
    """Scores requests and completes prompts through a session.

    Scores are kept by chunk in `<cache>/scores/<fingerprint>`: each is the result of one evaluation from an empty cache
    under the same artifact, scorer, engine and settings, so that one which is found again is the same to the bit.
    """

    def __init__(self, session: Session, artifact: Artifact, progress: Progress) -> None:
        self.session = session
        self.progress = progress
        self._kept = Cache.of(artifact).scores(artifact.fingerprint)

    def score(self, requests: Sequence[Request]) -> tuple[list[Score], Mapping[str, Any]]:
        """Return each request's log-likelihood (nats) and whether it is greedy, and how it was scored."""
        forest = Forest(requests)
        limits, chosen = self.session.start_scoring(forest.longest)
        picked = np.full(int(forest.starts[-1]), np.nan)
        greedy = np.zeros(len(picked), dtype=bool)
        answered = np.zeros(len(picked), dtype=bool)
        done = 0
        for chunk in forest.chunks():
            file = self._kept / f"{self._key(chosen, chunk.key)}.npy"
            found = load(file, len(chunk.reads))
            done += chunk.tokens
            if found is None:
                found = self._evaluate(forest, chunk, limits)
                save(file, found)
                self.progress("scoring tokens", done, forest.distinct_tokens)  # kept scores set no pace
            picked[chunk.reads], greedy[chunk.reads], answered[chunk.reads] = found[0], found[1] != 0, True
        assert answered.all(), "a request was left without an answer"
        spans = zip(forest.starts[:-1], forest.starts[1:], strict=True)
        scores = [(float(picked[a:b].sum()), bool(greedy[a:b].all())) for a, b in spans]
        assert len(scores) == len(requests)
        facts = {
            "requests": len(requests),
            "tokens": forest.total_tokens,
            "evaluated_tokens": forest.distinct_tokens,
            **chosen,
        }
        return scores, facts

    def _evaluate(self, forest: Forest, chunk: Chunk, limits: Limits) -> NDArray[np.float64]:
        """Return log-probability and greediness of a chunk's reads, shape (2, reads)."""
        values = [np.stack(self.session.evaluate(block)) for block in forest.blocks(chunk, limits)]
        return np.concatenate(values, axis=1)

    def _key(self, *asked: Any, prefill: bool = False) -> str:
        """Return the sha256 of all that moves an answer's bits; the artifact is in the folder's name.

        The batches in which a prompt is evaluated before tokens are generated (`n_batch`) move completions alone.
        """
        facts = {name: fact for name, fact in self.session.facts.items() if prefill or name != "n_batch"}
        identity = [VERSION, facts, versions(ENGINES), machine()["id"], *asked]
        return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()

    def complete(self, tokens: Sequence[int], n_tokens: int, until: Sequence[str]) -> str:
        """Return the greedy continuation up to the first text of `until`, the model's own end, or `n_tokens`."""
        file = self._kept / f"{self._key(list(tokens), n_tokens, list(until), prefill=True)}.txt"
        if file.is_file():
            return file.read_bytes().decode()
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
        write_at_once(_folder(file), text)
        return text

    def tokenize(self, texts: Sequence[tuple[str, bool]]) -> list[NDArray[np.int32]]:
        """Return the tokens of each text, behind the beginning-of-text token where the second of the pair says so."""
        with ThreadPoolExecutor(usable_cores()) as pool:  # both engines leave Python's lock while they tokenize
            found = pool.map(lambda asked: self.session.tokenize(*asked), texts)
            return [np.array(tokens, dtype=np.int32) for tokens in found]


def load(file: Path, n_reads: int) -> NDArray[np.float64] | None:
    """Return the kept scores of a chunk, None where there are none or the file is broken."""
    try:
        found: NDArray[np.float64] = np.load(file)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == (2, n_reads) else None


def save(file: Path, scores: NDArray[np.float64]) -> None:
    """Keep the scores of a chunk; a reader finds all of them or no file."""
    stream = io.BytesIO()
    np.save(stream, scores)
    write_at_once(_folder(file), stream.getvalue())


def _folder(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""
