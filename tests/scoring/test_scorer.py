"""The scorer: groups score as single requests do, and what is kept is used again only where nothing changed."""

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

from bench.files import read_sealed, write_sealed
from bench.machine.hardware import versions
from bench.runtimes.forest import Block, Forest, Limits, Request
from bench.runtimes.llamacpp import LlamaCpp
from bench.runtimes.session import Runtime, Session
from bench.scoring.scorer import SHARED, Scorer
from tests.scoring.conftest import LLAMACPP, TRANSFORMERS
from variants.artifact import Artifact, File


def scores_in(folder: Path) -> list[Path]:
    """List the files of kept scores, without those that say that prefixes can be shared."""
    return [file for file in folder.iterdir() if read_sealed(file) != SHARED]


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
                values[block.reads] = next(session.evaluate([block]))[0]
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
    monkeypatch.setattr(Forest, "chunks", lambda forest, _=0: chunks(forest, 512))
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

    def counted(blocks: Iterable[Block]) -> Any:
        for block in blocks:
            evaluated.append(len(block.tokens))
            yield from evaluate([block])

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
    (file,) = scores_in(tmp_path)
    for damaged in (file.read_bytes()[:50], file.read_bytes()[:-1] + b"?"):
        file.write_bytes(damaged)
        after, _ = scorer.score([Request([1, 2, 3], [4])])
        assert after == before
    assert len(scores_in(tmp_path)) == 1
    other_bytes = Scorer(session, replace(artifact, files=(File("model.gguf", 1, "0" * 64),)), lambda *_: None)
    other_bytes._kept = tmp_path
    other_bytes.score([Request([1, 2, 3], [4])])
    assert len(scores_in(tmp_path)) == 2


@pytest.mark.parametrize("change", [{"kv_type": "f16"}, {"n_threads": 1}, {"score_tokens_cpu": 48}, {"version": "0"}])
def test_scores_kept_under_other_settings_are_not_found(
    artifacts: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    artifact = artifacts["llamacpp"]

    def kept(runtime: LlamaCpp) -> int:
        scorer = Scorer(runtime.open(artifact, "cpu"), artifact, lambda *_: None)
        scorer._kept = tmp_path
        scorer.score([Request([1, 2, 3], [4])])
        return len(scores_in(tmp_path))

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
    write_sealed(file, f"{first} kept".encode())
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
        assert len(scores_in(tmp_path)) == files


def test_completions_belong_to_how_tokens_are_decoded_which_is_chosen_first_and_scores_do_not(
    opened: tuple[Artifact, Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, session = opened
    for how, files in (("a graph", 2), ("a graph", 2), ("from Python", 3)):
        facts = {**session.facts}
        with monkeypatch.context() as patch:
            patch.setattr(session, "facts", facts)
            patch.setattr(session, "prepare_decoding", lambda facts=facts, how=how: facts.update(decoding=how))
            scorer = Scorer(session, artifact, lambda *_: None)
            scorer._kept = tmp_path
            scorer.score([Request([1, 2, 3], [4])])
            scorer.complete([1, 20, 30], 2, [])
            assert len(scores_in(tmp_path)) == files


def test_whether_prefixes_can_be_shared_is_checked_once_for_an_artifact_and_an_engine(
    opened: tuple[Artifact, Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, session = opened
    checks: list[str] = []
    monkeypatch.setattr(session, "check_sharing", lambda: checks.append("checked"))
    for _ in range(2):
        scorer = Scorer(session, artifact, lambda *_: None)
        scorer._kept = tmp_path
        scorer.score([Request([1, 2, 3], [4])])
    assert checks == ["checked"]
    monkeypatch.setitem(session.facts, "attention", "another")
    scorer.check_sharing()
    assert checks == ["checked", "checked"]


def test_a_model_that_cannot_be_scored_so_is_checked_again_by_the_next_run(
    opened: tuple[Artifact, Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, session = opened

    def refuse() -> None:
        raise RuntimeError("not shared")

    monkeypatch.setattr(session, "check_sharing", refuse)
    scorer = Scorer(session, artifact, lambda *_: None)
    scorer._kept = tmp_path
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not shared"):
            scorer.score([Request([1, 2, 3], [4])])
    assert list(tmp_path.iterdir()) == []
