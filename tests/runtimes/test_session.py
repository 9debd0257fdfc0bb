"""Both runtimes over the same tiny model: they must give the same answers."""

from __future__ import annotations

import numpy as np
import pytest

from bench.runtimes.forest import Forest, Request
from bench.runtimes.session import Session
from tests.runtimes.conftest import PROMPT, scored


def test_both_tokenizers_agree_on_the_tasks(sessions: tuple[Session, Session]) -> None:
    from variants.data.rows import read_rows
    from variants.paths import resolve

    llama, torch = sessions
    for task in ("general", "hr"):
        for row in read_rows(resolve(f"bench/tasks/{task}/test.jsonl")):
            text = f"Question: {row.question}\nAnswer: {row.choices[row.answer]}"
            assert llama.tokenize(text, bos=True) == torch.tokenize(text, bos=True)
    assert llama.vocabulary == torch.vocabulary


def test_both_runtimes_score_alike_over_several_batches(sessions: tuple[Session, Session]) -> None:
    answers = [" 25 days", " 5 days", " the 28th of each month", " a"]
    scores = []
    for session in sessions:
        context = session.tokenize(PROMPT, bos=True)
        continuations = [session.tokenize(PROMPT + a, bos=True)[len(context) :] for a in answers]
        scores.append(scored(session, [Request(context * 5, c) for c in continuations]))
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_log_probabilities_are_those_that_the_scores_are_read_from(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        request = Request([1, 20, 30], [40, 50])
        forest = Forest([request])
        limits, _ = session.start_scoring(forest.longest)
        (block,) = forest.blocks(next(forest.chunks()), limits)
        rows = session.log_probabilities(block)
        assert rows.shape == (2, session.vocabulary.n_tokens)
        assert np.exp(rows).sum(-1) == pytest.approx([1.0, 1.0], abs=1e-4)
        assert [rows[0, 40], rows[1, 50]] == pytest.approx(scored(session, [request]), abs=1e-4)


def test_paths_may_be_many_times_longer_than_what_is_evaluated_at_once(sessions: tuple[Session, Session]) -> None:
    requests = [Request([*range(3, 450), last], [7]) for last in (5, 6)]
    scores = [scored(session, requests) for session in sessions]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_scoring_and_serving_take_turns_on_one_session(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        tokens = session.tokenize(PROMPT, bos=True)
        before = list(session.generate(tokens, 4))
        first = scored(session, [Request(tokens, [30])])
        assert list(session.generate(tokens, 4)) == before
        assert scored(session, [Request(tokens, [30])]) == first


def test_greedy_generation_is_the_same_and_goes_on_behind_end_of_text(sessions: tuple[Session, Session]) -> None:
    ours, theirs = (list(session.generate(session.tokenize(PROMPT, bos=True), 24)) for session in sessions)
    assert len(ours) == len(theirs) == 24
    assert ours == theirs


def test_every_request_evaluates_its_whole_prompt_again(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        for _ in range(2):
            list(session.generate(session.tokenize(PROMPT, bos=True), 2))
            assert session.last_prefill.evaluated_tokens == session.last_prefill.sent_tokens
            assert session.last_prefill.sent_tokens == len(session.tokenize(PROMPT, bos=True))


def test_a_prompt_that_does_not_fit_is_refused_not_cut(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        with pytest.raises(RuntimeError, match="do not fit n_ctx"):
            list(session.generate([5] * 3000, 2))
