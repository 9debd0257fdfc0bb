"""Scores and texts are those of lm-eval's own model over the same weights, request by request."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from bench.runtimes.session import Session
from bench.scoring.lm_eval_model import SessionLM
from tests.scoring.conftest import N_CTX, LocalScorer
from variants.artifact import Artifact
from variants.data.rows import read_rows
from variants.paths import resolve

Pair = tuple[str, str]


@pytest.fixture(scope="module")
def hflm(tiny_model: Path) -> HFLM:
    """lm-eval's own model, one request at a time, so that no padding is in its numbers."""
    return HFLM(pretrained=str(tiny_model), dtype="float32", batch_size=1, device="cpu", max_length=N_CTX)


def fresh(opened: tuple[Artifact, Session], tmp_path: Path) -> SessionLM:
    """An lm-eval model over the session that has nothing kept from other tests."""
    artifact, session = opened
    scorer = LocalScorer(session, artifact, lambda *_: None)
    scorer._kept = tmp_path
    return SessionLM(scorer, lambda *_: None, None)  # type: ignore[arg-type]


def instances(kind: Any, arguments: Sequence[tuple[Any, ...]]) -> list[Instance]:
    metadata = [("toy", i, 1) for i in range(len(arguments))]
    return [
        Instance(request_type=kind, doc={}, arguments=args, idx=0, metadata=each)
        for args, each in zip(arguments, metadata, strict=True)
    ]


def pairs() -> list[Pair]:
    """More than 500 requests: every shape that a task gives."""
    rows = read_rows(resolve("bench/tasks/hr/test.jsonl"))
    shots = "".join(f"Question: {row.question}\nAnswer: {row.choices[row.answer]}\n\n" for row in rows[:2])
    requests: list[Pair] = []
    for row in rows[2:42]:
        question = f"Question: {row.question}\nAnswer:"
        requests += [(question, f" {choice}") for choice in row.choices]  # 0-shot, choices of several tokens
        requests += [(shots + question, f" {letter}") for letter in "ABCD"]  # shared shots, one token
        requests += [(f"{question} ", choice) for choice in row.choices]  # a space that moves to the answer
    requests += [("", f"{row.question}") for row in rows[42:62]]  # no context
    requests += [(shots * 4 + f"Question: {row.question}\nAnswer:", " yes") for row in rows[62:72]]  # longer than n_ctx
    requests += [("naïve café, 東京 → ", text) for text in ("été", "東", "🙂 ok", "Ω")]
    requests += [("The answer is", text) for text in (" a", " a b", " a b c", " a b d", " a")]  # prefixes of each other
    random.Random(0).shuffle(requests)
    return requests


def test_log_likelihoods_are_those_of_lm_evals_own_model(
    opened: tuple[Artifact, Session], hflm: HFLM, tmp_path: Path
) -> None:
    asked = instances("loglikelihood", pairs())
    assert len(asked) >= 500
    model = fresh(opened, tmp_path)
    ours, theirs = model.loglikelihood(asked), hflm.loglikelihood(asked, disable_tqdm=True)
    assert len(ours) == len(asked)
    differences = [abs(a - b) for (a, _), (b, _) in zip(ours, theirs, strict=True)]
    assert max(differences) <= 1e-3
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert model.truncated == 10
    assert model.scoring["evaluated_tokens"] < model.scoring["tokens"] / 3


def test_rolling_log_likelihoods_are_those_of_lm_evals_own_model(
    opened: tuple[Artifact, Session], hflm: HFLM, tmp_path: Path
) -> None:
    rows = read_rows(resolve("bench/tasks/general/test.jsonl"))
    texts = [(" ".join(row.question for row in rows[:n]),) for n in (1, 2, 40)]
    asked = instances("loglikelihood_rolling", texts)
    ours = fresh(opened, tmp_path).loglikelihood_rolling(asked)
    assert ours == pytest.approx(hflm.loglikelihood_rolling(asked, disable_tqdm=True), abs=1e-3)


def test_greedy_texts_are_those_of_lm_evals_own_model(
    opened: tuple[Artifact, Session], hflm: HFLM, tmp_path: Path
) -> None:
    rows = read_rows(resolve("bench/tasks/hr/test.jsonl"))
    # The fourth makes this model write bytes that are no UTF-8, which the two libraries show with other signs.
    contexts = [f"Question: {row.question}\nAnswer:" for row in [*rows[:3], *rows[4:7]]]
    options = [{"until": ["\n"], "max_gen_toks": 24}, {"until": ["e"], "max_gen_toks": 12}]
    asked = instances("generate_until", [(context, each) for context in contexts for each in options])
    asked += instances("generate_until", [(" ".join(contexts * 3), {"until": [], "max_gen_toks": 8})])
    model = fresh(opened, tmp_path)
    ours, theirs = model.generate_until(asked), hflm.generate_until(asked, disable_tqdm=True)
    assert ours == theirs
    assert any(ours)
    assert model.truncated == 1


def test_sampling_is_refused_not_replaced_by_greedy(opened: tuple[Artifact, Session], tmp_path: Path) -> None:
    asked = instances("generate_until", [("a", {"do_sample": True, "temperature": 0.7, "max_gen_toks": 4})])
    with pytest.raises(RuntimeError, match="only greedy"):
        fresh(opened, tmp_path).generate_until(asked)


def test_an_answer_that_does_not_fit_is_refused(opened: tuple[Artifact, Session], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"does not fit n_ctx={N_CTX}"):
        fresh(opened, tmp_path).loglikelihood(instances("loglikelihood", [("a", " word" * 400)]))


def test_an_answer_without_tokens_is_refused_not_scored_as_certain(
    opened: tuple[Artifact, Session], tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="has no tokens"):
        fresh(opened, tmp_path).loglikelihood(instances("loglikelihood", [("a", " b"), ("a", "")]))
