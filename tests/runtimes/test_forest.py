"""Plans alone: whatever the requests and the limits, every token sees what it would see one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.runtimes.forest import Forest, Limits, Request
from bench.runtimes.torch_trunk import visible

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=9)
REQUESTS = st.lists(st.builds(Request, TOKENS, TOKENS), min_size=1, max_size=12)
LIMITS = st.builds(Limits, st.integers(1, 20), st.integers(1, 6), st.integers(1, 5))


def followed(forest: Forest, limits: Limits, chunk_tokens: int) -> dict[int, tuple[list[int], int]]:
    """Do what an engine does, with what a token sees for a result: return, per read, tokens seen and target."""
    answers: dict[int, tuple[list[int], int]] = {}
    for chunk in forest.chunks(chunk_tokens):
        trunk: list[int] = []
        order: list[int] = []
        for block in forest.blocks(chunk, limits):
            assert block.trunk in (0, len(trunk))
            assert len(block.tokens) <= limits.tokens
            assert block.n_paths <= limits.paths
            assert len(block.rows) <= limits.rows
            everything = np.concatenate([trunk[: block.trunk], block.tokens]).astype(int)
            places = np.concatenate([np.arange(block.trunk), block.positions])
            sees = visible(block, torch.device("cpu")).numpy()
            seen = [everything[row].tolist() for row in sees]
            for row, position, mask in zip(seen, block.positions, sees, strict=True):
                assert sorted(places[mask].tolist()) == list(range(position + 1))
                assert len(row) == position + 1
            for row, target, read in zip(block.read_rows, block.targets, block.reads, strict=True):
                token = block.rows[row]
                ordered = everything[sees[token]][np.argsort(places[sees[token]])]
                answers[int(read)] = (ordered.tolist(), int(target))
            order += block.reads.tolist()
            last = np.flatnonzero(block.last_path == block.n_paths - 1)[-1]
            path = everything[sees[last]][np.argsort(places[sees[last]])].tolist()
            trunk = path[: block.next_trunk]
            assert len(trunk) == block.next_trunk
        assert order == chunk.reads.tolist()
    return answers


def one_by_one(requests: Sequence[Request]) -> list[tuple[list[int], int]]:
    return [([*r.context, *r.continuation[:k]], target) for r in requests for k, target in enumerate(r.continuation)]


@settings(deadline=None, max_examples=300)
@given(REQUESTS, LIMITS, st.integers(1, 40))
def test_every_read_sees_exactly_its_own_context_whatever_the_limits(
    requests: list[Request], limits: Limits, chunk_tokens: int
) -> None:
    answers = followed(Forest(requests), limits, chunk_tokens)
    assert [answers[read] for read in range(len(answers))] == one_by_one(requests)


@settings(deadline=None)
@given(REQUESTS, LIMITS)
def test_within_a_chunk_no_prefix_is_evaluated_twice(requests: list[Request], limits: Limits) -> None:
    forest = Forest(requests)
    prefixes = {tuple(path[: k + 1].tolist()) for path in forest.paths for k in range(len(path))}
    (chunk,) = forest.chunks(10**6)
    assert sum(len(block.tokens) for block in forest.blocks(chunk, limits)) == len(prefixes)
    assert forest.distinct_tokens == chunk.tokens == len(prefixes)


def test_one_position_answers_all_single_token_choices_of_a_context() -> None:
    context = [5, 6, 7]
    forest = Forest([Request(context, [choice]) for choice in (1, 2, 3, 4)])
    (chunk,) = forest.chunks()
    (block,) = forest.blocks(chunk, Limits(100, 100, 100))
    assert block.tokens.tolist() == context
    assert block.rows.tolist() == [2]
    assert block.targets.tolist() == [1, 2, 3, 4]
    assert forest.total_tokens == 12


def test_a_chunk_is_known_by_all_that_is_asked_in_it_and_by_nothing_else() -> None:
    def keys(*requests: Request) -> list[str]:
        return [chunk.key for chunk in Forest(requests).chunks()]

    one, other = Request([1, 2], [3]), Request([1, 2], [4])
    assert keys(one, other) == keys(other, one)
    assert keys(one) != keys(other)
    assert keys(one) != keys(Request([1, 2, 3], [3]))


def test_chunks_end_where_little_has_to_be_evaluated_again() -> None:
    subjects = [[subject] * 40 for subject in (1, 2, 3)]
    requests = [Request([*subject, question], [0]) for subject in subjects for question in range(9)]
    chunks = list(Forest(requests).chunks(tokens=10))
    assert [(chunk.first, chunk.last) for chunk in chunks] == [(0, 9), (9, 18), (18, 27)]
