"""The step that keeps a base's log-probabilities: the text it takes, and the divergence from what it kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.steps.base_logprobs import divergence


def test_kl_is_zero_for_the_same_and_that_of_the_definition_for_another() -> None:
    base = np.log(np.array([[0.5, 0.25, 0.25]], dtype=np.float32))
    other = np.log(np.array([[0.25, 0.5, 0.25]], dtype=np.float32))
    assert divergence(base, base) == pytest.approx([0.0])
    assert divergence(other, base) == pytest.approx([0.5 * np.log(2) + 0.25 * np.log(0.5)])


def test_a_text_that_is_not_utf8_is_refused_before_anything_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "own.txt"
    text.write_bytes(b"plain " + "café".encode("latin-1"))
    assert main(["run", "suite=smoke", "suite.measures=[divergence]", f"divergence.text={text}"]) == 2
    assert "own.txt:1: not UTF-8 at byte 9; save it as UTF-8" in capsys.readouterr().err


def test_a_text_that_is_too_short_says_what_to_do(
    tmp_path: Path, tiny_model: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "short.txt"
    text.write_text("Too short.")
    places = [f"results_dir={tmp_path}", f"cache_dir={cache}", f"model={tiny_model}", "suite=smoke"]
    only = ["suite.measures=[divergence]", "suite.once=[]", "variant=base", f"divergence.text={text}"]
    assert main(["run", *places, *only]) == 1
    assert "divergence.tokens: got 2,048, but the text has 0 in windows of 128" in " ".join(
        capsys.readouterr().out.split()
    )
