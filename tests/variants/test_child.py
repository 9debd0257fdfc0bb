"""How a child process starts."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys

import pytest

from variants.child import environment, start
from variants.paths import ROOT

REPORT = "import json, os, sys; print(json.dumps([sys.stdin.read(), dict(os.environ)]))"


def _child(offline: bool = False) -> tuple[str, dict[str, str]]:
    command = [sys.executable, "-S", "-c", REPORT]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **start(offline=offline))
    stdin, variables = json.loads(done.stdout)
    return stdin, variables


def test_a_child_reads_nothing_and_gets_no_variable_that_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "1")
    monkeypatch.setenv("GIT_DIR", "/elsewhere/.git")
    monkeypatch.setenv("PYTHONINSPECT", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    stdin, variables = _child()
    assert stdin == ""
    assert not {"SECRET_OF_THE_SHELL", "GIT_DIR", "PYTHONINSPECT"} & variables.keys()
    assert (variables["HF_TOKEN"], variables["OMP_NUM_THREADS"]) == ("hf_x", "2")
    assert variables["PATH"] == os.environ["PATH"]


def test_an_offline_child_gets_neither_a_token_nor_a_proxy_and_asks_no_hub() -> None:
    full = {"HF_TOKEN": "hf_x", "https_proxy": "http://proxy", "HF_HUB_OFFLINE": "0", "HF_HOME": "/h"}
    kept = environment(full, offline=True)
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    assert kept == {"HF_HOME": "/h", **offline}


def test_packages_beside_the_environment_are_imported_from_the_same_folders() -> None:
    assert environment({"PYTHONPATH": "/packages::.:lib"}) == {"PYTHONPATH": "/packages"}
    assert environment({"PYTHONPATH": "."}) == {}


def test_no_module_starts_a_process_with_its_own_standard_input_and_environment() -> None:
    """Set-up and the self-test run nothing of a model, a task or a repository."""
    own = (ROOT / "bench" / "bootstrap.py", ROOT / "bench" / "selftest")
    files = [file for folder in ("bench", "variants") for file in (ROOT / folder).rglob("*.py")]
    careless = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for file in files
        if not any(file.is_relative_to(place) for place in own)
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("subprocess.run", "subprocess.Popen", "subprocess.check_output")
        and not {None} & {keyword.arg for keyword in call.keywords}  # `**start()`
        and not {"stdin", "env"} <= {keyword.arg for keyword in call.keywords}
    ]
    assert not careless


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2)")
def test_a_child_ends_with_its_parent_that_is_killed() -> None:
    sleeper = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    parent = (
        "import subprocess, sys, time; from variants.child import start\n"
        f"subprocess.Popen([sys.executable, '-S', '-c', {sleeper!r}], **start())\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        process.send_signal(signal.SIGKILL)
        assert process.stdout.read() == ""  # the pipe closes when the last of both has ended
