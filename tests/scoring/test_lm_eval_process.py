"""The pipe between the engine's process and lm-eval's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.runtimes.forest import Request
from bench.runtimes.session import Vocabulary
from bench.scoring.lm_eval_process import RemoteScorer, with_lm_eval
from bench.scoring.scorer import Progress
from variants.paths import ROOT
from variants.tokenizer.framing import Framing

VOCABULARY = Vocabulary(300, Framing((1,), bos=1, end=2, written="<s>"), texts={"bos_token": "<s>"}, chat_template=None)


class ToyScorer:
    """Tokens are letters; the log-likelihood of a continuation is minus its length."""

    session = SimpleNamespace(n_ctx=8, vocabulary=VOCABULARY)

    def __init__(self) -> None:
        self.process = os.getpid()
        self.reports: list[tuple[str, int, int]] = []

    def progress(self, *report: Any) -> None:
        self.reports.append(report)

    def tokenize(self, texts: Sequence[tuple[str, bool]]) -> list[list[int]]:
        assert os.getpid() == self.process
        return [[1] * bos + [ord(letter) for letter in text] for text, bos in texts]

    def score(self, requests: Sequence[Request]) -> tuple[list[tuple[float, bool]], dict[str, int]]:
        assert os.getpid() == self.process
        return [(-float(len(r.continuation)), False) for r in requests], {"requests": len(requests)}

    def complete(self, tokens: Sequence[int], n_tokens: int, until: Sequence[str]) -> str:
        return f"{len(tokens)} {n_tokens} {until}"


def ask(remote: RemoteScorer, progress: Progress, text: str) -> dict[str, Any]:
    progress("asking", 1, 1)
    (tokens,) = remote.tokenize([(text, True)])
    scores, facts = remote.score([Request([1], list(tokens))])
    return {
        "process": os.getpid(),
        "n_ctx": remote.n_ctx,
        "vocabulary": remote.vocabulary,
        "tokens": tokens,
        "scores": scores,
        "facts": facts,
        "text": remote.complete([1, 2], 3, ["."]),
    }


def fail(remote: RemoteScorer, progress: Progress) -> None:
    raise ValueError("no such task")


def die(remote: RemoteScorer, progress: Progress) -> None:
    os._exit(3)


def test_a_scorer_answers_another_process_from_its_own() -> None:
    scorer = ToyScorer()
    answer = with_lm_eval(scorer, ask, "ab")  # type: ignore[arg-type]
    assert answer.pop("process") != os.getpid()
    assert answer == {
        "n_ctx": 8,
        "vocabulary": VOCABULARY,
        "tokens": [1, 97, 98],
        "scores": [(-3.0, False)],
        "facts": {"requests": 1},
        "text": "2 3 ['.']",
    }
    assert scorer.reports == [("asking", 1, 1)]


def die_while_an_answer_is_made(remote: RemoteScorer, progress: Progress) -> None:
    remote._connection.send(("tokenize", ([("ab", True)] * 100_000,)))
    os._exit(3)


def test_an_error_over_there_is_an_error_here() -> None:
    with pytest.raises(RuntimeError, match="ValueError: no such task"):
        with_lm_eval(ToyScorer(), fail)  # type: ignore[arg-type]


def test_a_death_over_there_is_an_error_here() -> None:
    for ending in (die, die_while_an_answer_is_made):
        with pytest.raises(RuntimeError, match="the process that runs lm-eval died"):
            with_lm_eval(ToyScorer(), ending)  # type: ignore[arg-type]


PARENT = """
import os
from pathlib import Path
Path({folder!r}, "parent").write_text(str(os.getpid()))
import slow
from bench.scoring.lm_eval_process import with_lm_eval
from tests.scoring.test_lm_eval_process import ToyScorer
with_lm_eval(ToyScorer(), slow.work)
"""
SLOW = """
import os, time
from pathlib import Path
if os.getpid() != int(Path(__file__).with_name("parent").read_text()):
    print("imported", flush=True)
    time.sleep(600)
def work(remote, progress):
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2)")
def test_the_process_of_lm_eval_ends_with_its_parent_even_while_it_imports(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, "-c", PARENT.format(folder=str(tmp_path))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "imported\n"
        parent.kill()
        assert parent.stdout.read() == ""  # the pipe closes when the last of both has ended
