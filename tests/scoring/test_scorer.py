"""Scores are those of lm-eval's own model over the same weights, request by request; and what the cache keeps."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from bench.machine.hardware import versions
from bench.runtimes.forest import Block, Forest, Limits, Request
from bench.runtimes.llamacpp import LlamaCpp
from bench.runtimes.session import Runtime, Session
from bench.runtimes.transformers import Transformers
from bench.scoring.lm_eval_model import SessionLM
from bench.scoring.scorer import VERSION, Scorer
from tests.conftest import make
from variants.artifact import Artifact
from variants.data import read_rows
from variants.paths import resolve

N_CTX = 160
Catalogue = dict[str, dict[str, Any]]
Pair = tuple[str, str]
LLAMACPP = LlamaCpp(
    n_ctx=N_CTX,
    n_batch=64,
    score_tokens_cpu=96,
    score_tokens_cuda=96,
    n_threads=2,
    flash_attention="off",
    kv_type="f32",
)
TRANSFORMERS = Transformers(
    n_ctx=N_CTX,
    score_tokens_cpu=96,
    score_tokens_cuda=96,
    dtype_cpu="float32",
    dtype_cuda="bfloat16",
    n_threads=2,
)


class LocalScorer(Scorer):
    """The scorer as lm-eval's process sees it, without the pipe between them."""

    version = VERSION

    @property
    def n_ctx(self) -> int:
        return self.session.n_ctx

    @property
    def vocabulary(self) -> Any:
        return self.session.vocabulary


@pytest.fixture(scope="module")
def artifacts(cache: Path, catalogue: Catalogue) -> dict[str, Artifact]:
    """The tiny model in F32, once for each runtime."""
    gguf = make(cache, {**catalogue, "gguf": {**catalogue["gguf"], "type": "f32"}}, ["source", "gguf"])
    assert gguf.parent is not None
    return {"llamacpp": gguf, "transformers": gguf.parent}


@pytest.fixture(scope="module", params=["llamacpp", "transformers"])
def opened(request: pytest.FixtureRequest, artifacts: dict[str, Artifact]) -> tuple[Artifact, Session]:
    runtime = {"llamacpp": LLAMACPP, "transformers": TRANSFORMERS}[request.param]
    artifact = artifacts[request.param]
    return artifact, runtime.open(artifact, "cpu")  # type: ignore[attr-defined]


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
    contexts = [f"Question: {row.question}\nAnswer:" for row in rows[:6]]
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


TOKENS = st.lists(st.integers(3, 9), min_size=1, max_size=12)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(st.builds(Request, TOKENS, TOKENS), min_size=1, max_size=8),
    limits=st.builds(Limits, st.integers(1, 24), st.integers(1, 6), st.integers(1, 5)),
)
def test_any_grouping_scores_as_one_by_one(
    opened: tuple[Artifact, Session], requests: list[Request], limits: Limits
) -> None:
    _, session = opened
    session.start_scoring(64)

    def scored(some: Sequence[Request], limits: Limits) -> np.ndarray[Any, Any]:
        forest = Forest(some)
        values = np.full(int(forest.starts[-1]), np.nan)
        for chunk in forest.chunks(20):
            for block in forest.blocks(chunk, limits):
                values[block.reads] = session.evaluate(block)[0]
        return values

    alone = np.concatenate([scored([request], Limits(64, 6, 64)) for request in requests])
    assert scored(requests, limits) == pytest.approx(alone, abs=1e-3)


class Killed(BaseException):
    pass


def test_a_killed_run_goes_on_from_what_it_had_with_the_same_bits(
    opened: tuple[Artifact, Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, session = opened
    chunks = Forest.chunks
    monkeypatch.setattr(Forest, "chunks", lambda forest: chunks(forest, 512))
    rng = random.Random(1)
    contexts = [[rng.randrange(3, 2000) for _ in range(60)] for _ in range(40)]
    requests = [Request(context, [choice]) for context in contexts for choice in (5, 6)]

    def scorer(folder: Path, stop_at: int | None = None) -> Scorer:
        def progress(what: str, done: int, total: int) -> None:
            if stop_at is not None and done >= stop_at:
                raise Killed

        made = Scorer(session, artifact, progress)
        made._kept = folder
        return made

    whole, _ = scorer(tmp_path / "whole").score(requests)
    with pytest.raises(Killed):
        scorer(tmp_path / "killed", stop_at=512).score(requests)
    kept = {path: path.read_bytes() for path in (tmp_path / "killed").iterdir()}
    assert 0 < len(kept) < len(list((tmp_path / "whole").iterdir()))
    evaluated: list[int] = []
    evaluate = session.evaluate

    def counted(block: Block) -> Any:
        evaluated.append(len(block.tokens))
        return evaluate(block)

    monkeypatch.setattr(session, "evaluate", counted)
    again, _ = scorer(tmp_path / "killed").score(requests)
    assert again == whole
    assert 0 < sum(evaluated) < 40 * 60
    assert {path: path.read_bytes() for path in kept} == kept


def test_kept_scores_belong_to_one_artifact_and_a_broken_file_is_done_again(
    opened: tuple[Artifact, Session], artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    artifact, session = opened
    scorer = Scorer(session, artifact, lambda *_: None)
    assert scorer._kept.name == artifact.fingerprint
    scorer._kept = tmp_path
    before, _ = scorer.score([Request([1, 2, 3], [4])])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    after, _ = scorer.score([Request([1, 2, 3], [4])])
    assert after == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("change", [{"kv_type": "f16"}, {"n_threads": 1}, {"score_tokens_cpu": 48}, {"version": "0"}])
def test_scores_kept_under_other_settings_are_not_found(
    artifacts: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    artifact = artifacts["llamacpp"]

    def kept(runtime: LlamaCpp) -> int:
        scorer = Scorer(runtime.open(artifact, "cpu"), artifact, lambda *_: None)
        scorer._kept = tmp_path
        scorer.score([Request([1, 2, 3], [4])])
        return len(list(tmp_path.iterdir()))

    assert kept(LLAMACPP) == kept(LLAMACPP) == 1
    if version := change.get("version"):
        monkeypatch.setattr("bench.scoring.scorer.versions", lambda names: dict.fromkeys(names, version))
        assert kept(LLAMACPP) == 2
    else:
        assert kept(replace(LLAMACPP, **change)) == 2


def test_scores_kept_under_another_version_of_any_tool_of_their_runtime_are_not_found(
    opened: tuple[Artifact, Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, session = opened
    runtimes: dict[str, Runtime] = {"llamacpp": LLAMACPP, "transformers": TRANSFORMERS}
    tools = {name: {*runtime.tools, "numpy"} for name, runtime in runtimes.items()}
    own = tools[session.facts["runtime"]]
    scorer = Scorer(session, artifact, lambda *_: None)
    key = scorer._key("chunk")
    for tool in set.union(*tools.values()):
        with monkeypatch.context() as patch:
            patch.setattr("bench.scoring.scorer.versions", lambda names, t=tool: versions(names) | _older(names, t))
            assert (scorer._key("chunk") != key) == (tool in own), tool


def _older(names: Iterable[str], tool: str) -> dict[str, str | None]:
    return {name: "0.0" for name in names if name == tool}


def test_a_completion_is_kept_and_read_back(opened: tuple[Artifact, Session], tmp_path: Path) -> None:
    artifact, session = opened
    scorer = Scorer(session, artifact, lambda *_: None)
    scorer._kept = tmp_path
    first = scorer.complete([1, 20, 30], 8, [])
    (file,) = tmp_path.iterdir()
    file.write_text(first + " kept")
    assert scorer.complete([1, 20, 30], 8, []) == first + " kept"
    assert scorer.complete([1, 20, 30], 7, []) in first
    assert len(list(tmp_path.iterdir())) == 2


def test_completions_belong_to_the_batches_of_their_prompt_and_scores_do_not(
    artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    artifact = artifacts["llamacpp"]
    for n_batch, files in ((8, 2), (8, 2), (4, 3)):
        scorer = Scorer(replace(LLAMACPP, n_batch=n_batch).open(artifact, "cpu"), artifact, lambda *_: None)
        scorer._kept = tmp_path
        scorer.score([Request([1, 2, 3], [4])])
        scorer.complete([1, 20, 30], 2, [])
        assert len(list(tmp_path.iterdir())) == files


def test_an_answer_without_tokens_is_refused_not_scored_as_certain(
    opened: tuple[Artifact, Session], tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="has no tokens"):
        fresh(opened, tmp_path).loglikelihood(instances("loglikelihood", [("a", " b"), ("a", "")]))
