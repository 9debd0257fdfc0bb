"""Which classes a configuration may name, and that no other module is imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from variants.configure import configure
from variants.errors import UserError


@pytest.mark.parametrize(
    "target",
    [
        *("stranger.Step", "os.system", "subprocess.Popen", "stranger", "", ".", "..", "variants", "None"),
        *("variants.stranger.Step", "bench.stranger.Step", "bench.examples.notebook.Step", "bench.selftest.__main__.X"),
        *("variants.steps.source.os.system", "variants.steps.source.Artifact", "variants.steps.source.resolve"),
        *(
            "variants.steps.gguf.BITS",
            "variants.steps.nowhere.Step",
            "variants.steps..Step",
            "variants.steps.../x.Step",
        ),
        *("bench.measures.size.Size", "bench.runtimes.llamacpp.LlamaCpp", "variants.step.Planned"),
    ],
)
def test_a_target_that_is_no_step_is_refused_before_it_is_imported(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    named = ("stranger", "bench.examples.notebook", "bench.selftest.__main__")
    for module in named:  # another test may have imported one
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(UserError, match=r"^steps\.x\._target_: got .*, allowed: a class of a module in"):
        configure({"_target_": target}, "steps.x")
    assert not sys.modules.keys() & named


@pytest.mark.parametrize("key", ["runtime.llamacpp", "latency"])
def test_a_step_is_no_runtime_and_no_measure(key: str) -> None:
    with pytest.raises(UserError, match="allowed: a class of a module in bench"):
        configure({"_target_": "variants.steps.gguf.Gguf", "type": "f16"}, key)
