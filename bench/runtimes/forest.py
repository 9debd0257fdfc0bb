"""Requests as a forest of tokens, so that every prefix which requests share is evaluated once.

The inputs of all requests, sorted, are the paths of a trie. Its nodes in depth-first order are a stream in which each
distinct prefix occurs once. The stream is cut into chunks; each starts from an empty cache, and its scores are stored
in one file. A chunk is cut into blocks of one evaluation each. A block needs only one path of the cache: its trunk.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
CHUNK_TOKENS = 8192
"""About how many tokens a chunk has, where prefixes are short. A killed run evaluates again the chunks it was at: one,
or three where two contexts of llama.cpp score side by side."""
REPEATED_SHARE = 16
"""A chunk ends only where the prefix that the next one evaluates again is at most 1/16 of the chunk's tokens. Behind
MMLU's longest examples, of 2,400 tokens, a chunk has 39,000 tokens."""


@dataclass(frozen=True)
class Request:
    """Tokens whose log-likelihood is asked for, behind a context of at least one token.

    Requests that share their context's object are read faster, those that share its tokens are scored together.
    """

    context: Sequence[int] | Ints
    continuation: Sequence[int]


@dataclass(frozen=True)
class Limits:
    """The most that one evaluation may hold: tokens, paths, and rows of logits."""

    tokens: int
    paths: int
    rows: int


@dataclass(frozen=True)
class Block:
    """Tokens to evaluate at once behind a trunk of `trunk` tokens.

    Token i stands at `positions[i]` of the local paths `first_path[i]` to `last_path[i]` (from 0, both included) and
    sees the block's tokens before it on these, and the first `trunk_seen[first_path[i]]` tokens of the trunk. The
    logits of the tokens `rows` are wanted: read number `reads[k]` is the log-probability of token `targets[k]` in
    `rows[read_rows[k]]`. The first `next_trunk` tokens of the last path are the trunk of the next block.
    """

    trunk: int
    tokens: Ints
    positions: Ints
    first_path: Ints
    last_path: Ints
    trunk_seen: Ints
    rows: Ints
    read_rows: Ints
    targets: Ints
    reads: Ints
    next_trunk: int

    @property
    def n_paths(self) -> int:
        """Return how many paths run through the block."""
        return len(self.trunk_seen)


@dataclass(frozen=True)
class Chunk:
    """The paths `first` to `last` - 1, evaluated from an empty cache; `key` is the sha256 of all that is asked of them.

    `tokens` counts those of its tokens that no chunk before it has.
    """

    first: int
    last: int
    tokens: int
    reads: Ints
    key: str


class Forest:
    """The trie of some requests. Read `starts[r]` + k asks for token k of the continuation of request r.

    `total_tokens` counts the tokens of all requests, `distinct_tokens` those that are left when prefixes are shared.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        keys = _input_keys(requests)
        distinct = sorted(set(keys))
        place = {key: i for i, key in enumerate(distinct)}
        self.paths = [np.frombuffer(key, dtype=">u4") for key in distinct]
        self.shared = [0, *(_common(a, b) for a, b in zip(self.paths, self.paths[1:], strict=False))]
        self.starts = np.concatenate([[0], np.cumsum([len(r.continuation) for r in requests])]).astype(np.int64)
        self.total_tokens = sum(len(key) // 4 for key in keys)
        self.distinct_tokens = sum(len(p) - s for p, s in zip(self.paths, self.shared, strict=True))
        self.longest = max(map(len, self.paths), default=0)
        self._reads: list[list[tuple[int, int, int]]] = [[] for _ in self.paths]  # (position, target, read)
        for request, key, start in zip(requests, keys, self.starts, strict=False):
            self._hang(place[key], request.continuation, int(start))
        for reads in self._reads:
            reads.sort()

    def _hang(self, path: int, targets: Sequence[int], read: int) -> None:
        """Hang each read on the path that evaluates its token: the first path that has it."""
        start = len(self.paths[path]) - len(targets)
        for k in range(len(targets) - 1, -1, -1):
            while self.shared[path] > start + k:
                path -= 1
            self._reads[path].append((start + k, int(targets[k]), read + k))

    def chunks(self, tokens: int = CHUNK_TOKENS) -> Iterator[Chunk]:
        """Cut the paths into chunks of about so many distinct tokens, wherever little has to be evaluated again."""
        first, held = 0, 0
        for i, path in enumerate(self.paths):
            if held and held >= max(tokens, REPEATED_SHARE * self.shared[i]):
                yield self._chunk(first, i)
                first, held = i, 0
            held += len(path) - (self.shared[i] if held else 0)
        if held:
            yield self._chunk(first, len(self.paths))

    def _chunk(self, first: int, last: int) -> Chunk:
        digest = hashlib.sha256()
        for path, reads in zip(self.paths[first:last], self._reads[first:last], strict=True):
            asked = np.array([(position, target) for position, target, _ in reads], dtype=">u4")
            digest.update(b"%d %d " % (len(path), len(reads)) + path.tobytes() + asked.tobytes())
        numbers = [read for path in self._reads[first:last] for _, _, read in path]
        tokens = sum(map(len, self.paths[first:last])) - sum(self.shared[first:last])
        return Chunk(first, last, tokens, np.array(numbers, dtype=np.int32), digest.hexdigest())

    def blocks(self, chunk: Chunk, limits: Limits) -> Iterator[Block]:
        """Cut a chunk into blocks of about one size; their reads, one after another, are the chunk's in its order."""
        evaluated = chunk.tokens + self.shared[chunk.first]
        even = replace(limits, tokens=_ratio_up(evaluated, _ratio_up(evaluated, limits.tokens)))
        i, depth = chunk.first, 0
        while i < chunk.last:
            parts, (i_next, depth_next) = self._take(i, depth, chunk.last, even)
            yield self._block(parts, depth, depth_next)
            i, depth = i_next, depth_next

    def _take(
        self, i: int, depth: int, last: int, limits: Limits
    ) -> tuple[list[tuple[int, int, int]], tuple[int, int]]:
        """Return the next block's parts (path, from depth, to depth) and where the block after it begins."""
        parts: list[tuple[int, int, int]] = []
        tokens, rows = limits.tokens, limits.rows
        while i < last and tokens and len(parts) < limits.paths:
            end = min(len(self.paths[i]), depth + tokens)
            wanted = sorted({position for position, _, _ in self._reads[i] if depth <= position < end})
            if len(wanted) > rows:
                end = wanted[rows]
            if end == depth:
                break
            parts.append((i, depth, end))
            tokens, rows = tokens - (end - depth), rows - min(rows, len(wanted))
            if end < len(self.paths[i]):
                return parts, (i, end)
            i += 1
            depth = self.shared[i] if i < last else 0
        return parts, (i, depth)

    def _block(self, parts: Sequence[tuple[int, int, int]], trunk: int, next_trunk: int) -> Block:
        positions = np.concatenate([np.arange(a, b) for _, a, b in parts])
        last_path = np.concatenate([np.full(b - a, p) for p, (_, a, b) in enumerate(parts)])
        first_path = last_path.copy()
        offsets = np.cumsum([0, *(b - a for _, a, b in parts)])
        for p, (i, a, b) in enumerate(parts):  # a token lies on the later paths too that share it
            shared = b
            for q in range(p + 1, len(parts)):
                shared = min(shared, self.shared[i + q - p])
                if shared <= a:
                    break
                last_path[offsets[p] : offsets[p] + shared - a] = q
        seen = np.minimum.accumulate([trunk, *(self.shared[i] for i, _, _ in parts[1:])])
        reads = [
            (offsets[p] + position - a, target, read)
            for p, (i, a, b) in enumerate(parts)
            for position, target, read in self._reads[i][bisect_left(self._reads[i], (a,)) :]
            if position < b
        ]
        token_of, targets, numbers = np.array(reads, dtype=np.int32).reshape(-1, 3).T
        rows, read_rows = np.unique(token_of, return_inverse=True)
        return Block(
            trunk=trunk,
            tokens=np.concatenate([self.paths[i][a:b] for i, a, b in parts]).astype(np.int32),
            positions=positions.astype(np.int32),
            first_path=first_path.astype(np.int32),
            last_path=last_path.astype(np.int32),
            trunk_seen=seen.astype(np.int32),
            rows=rows.astype(np.int32),
            read_rows=read_rows.astype(np.int32),
            targets=targets,
            reads=numbers,
            next_trunk=next_trunk,
        )


def chains(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Yield blocks that go on from one another together; each chain starts from an empty cache."""
    chain: list[Block] = []
    for block in blocks:
        if chain and not block.trunk:
            yield chain
            chain = []
        chain.append(block)
    if chain:
        yield chain


def _input_keys(requests: Sequence[Request]) -> list[bytes]:
    """Return each request's input as bytes that sort as its tokens do; the last token of all is never evaluated."""
    contexts: dict[int, bytes] = {}  # choices of one question share their context's object
    keys = []
    for request in requests:
        context = contexts.get(id(request.context))
        if context is None:
            context = contexts[id(request.context)] = np.asarray(request.context, dtype=">u4").tobytes()
        keys.append(context + np.asarray(request.continuation[:-1], dtype=">u4").tobytes())
    return keys


def _ratio_up(of: int, parts: int) -> int:
    return -(-of // parts)


def _common(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> int:
    """Return how many leading tokens two paths share."""
    n = min(len(a), len(b))
    differ = np.flatnonzero(a[:n] != b[:n])
    return int(differ[0]) if len(differ) else n
