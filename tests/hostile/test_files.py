"""A fuzz of files that are read: each is what it should be, or one line says what is wrong in it.

Files of `conf/`, rows of JSONL and task YAMLs. Nothing is mocked: what reads them reads them as in a run.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import parse
from bench.sweep.plan.settings import Settings
from tests.hostile.conftest import drawn, run_line, typed
from variants.configure import configure
from variants.errors import UserError

CONF_FILES = (
    "variant", "suite", "model", "steps", "launcher", "requirements", "measure/size", "runtime/llamacpp", "config",
)  # fmt: skip
"""Groups of conf/, of which an odd file is chosen, and files that every run reads."""
ODD_TEXTS: Sequence[bytes] = (
    b"", b"\n", b"# nothing", b"null", b"5", b"text", b"- a\n- b", b"[]", b"{}", b"\x00\x01\x02", b"\xff\xfe{\x00",
    b"\x89PNG\r\n", b"name: caf\xe9", b"name: [", b"name: 'x", b"\tname: x", b"name: x\nname: y", b"? [a]\n: b",
    b"5: 6", b"null: 5", b"--- a\n--- b", b"name: &a [*a]",
    b"a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
    b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]",
    b"a: " + b"[" * 5000, b"{a: " * 3000, b"x: " + b"y" * 2_000_000,
    b"name: !!python/object/apply:os.system ['id']", b"name: !nosuch x", b"name: 2020-01-01", b"name: .nan",
    b"defaults: [odd]", b"defaults: [nosuch]", b"defaults: 5", b"defaults: [5]", b"defaults: [[a]]",
    b"defaults: [{a: {b: c}}]", b"defaults: [/variant/odd, /suite/odd, /model/odd, /steps/odd, _self_]",
    b"defaults: [../../../../etc/passwd]", b"defaults: ['${oc.env:HOME}']",
    b"defaults: [{override /hydra/launcher: nosuch}]", b"defaults: [{override /hydra/job_logging: default}]",
    b"# @package _global_\nhydra: {callbacks: {x: {_target_: os.system, command: id}}}",
    b"# @package hydra.callbacks.x\n_target_: os.system", b"# @package hydra\nlauncher: {x: {_target_: os.system}}",
    b"# @package _global_\nhydra: {sweep: {dir: /tmp/elsewhere}}",
    b"# @package _global_\nhydra: {searchpath: ['file:///etc']}",
    b"# @package _global_\nhydra: {job_logging: {handlers: {x: {(): os.system}}}}",
    b"# @package _global_\nhydra: 5", b"# @package\n", b"# @package _global_\nresults_dir: /",
    b"# @package _global_\nsweep: ../../x", b"# @package _global_\nsuite: null",
    b"# @package _global_\nsuite: {name: odd, variants: [], rounds: 1, measures: [size]}",
    b"# @package _global_\nsuite: {name: odd, variants: [base], rounds: 1000000, measures: [size]}",
    b"# @package _global_\nsuite: {name: smoke, variants: [base], rounds: 1, measures: [size]}",
    b"name: q4\nsteps: [source, gguf, q4]\nruntime: llamacpp",
    b"name: ../../x\nsteps: [source, gguf]\nruntime: llamacpp",
    b"name: odd\nsteps: [source, gguf]\nruntime: '${oc.env:HOME}'", b"name: odd\nsteps: null\nruntime: null",
    b"name: odd\nsteps: [[source], {a: b}]\nruntime: [llamacpp]", b"name: 5\nsteps: source\nruntime: llamacpp",
    b"name: odd\npath: /\nid: a/b\nrevision: ../../x", b"name: null\npath: null\nid: null\nrevision: null",
    b"source: {_target_: os.system, path: x}", b"../../x: {_target_: variants.steps.gguf.Gguf, type: f16}",
    b"_target_: os.system", b"_target_: [a]", b"title: odd\nmax_p99_ms: .nan",
    b"max_p99_ms: -.inf\nquality: {a: [5]}", b"cost: [5]", b"quality: null", b"not_forgotten: 5",
)  # fmt: skip


def writing(text: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(text)


ODD_PLACES: Sequence[Callable[[Path], object]] = (
    lambda file: file.mkdir(),
    lambda file: os.mkfifo(file),
    lambda file: file.symlink_to("nowhere"),
    lambda file: file.symlink_to(file),
    lambda file: file.symlink_to("/dev/zero"),
    lambda file: file.symlink_to("/"),
)
"""What makes a path something else than a file of text."""


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def reading(where: str, place: Path) -> list[str]:
    """Return a command line that reads the odd file: one that is chosen by its name, or one that every run reads."""
    key = "suite.requirements" if where == "requirements" else where
    return run_line(place, *([] if where in ("config", "measure/size", "runtime/llamacpp") else [f"{key}=odd"]))


def test_a_file_of_conf_of_any_kind_is_planned_or_refused_in_one_line(place: Path, conf: Path) -> None:
    bad = []
    for where, make in drawn(5, 90, itertools.product(CONF_FILES, [*map(writing, ODD_TEXTS), *ODD_PLACES])):
        chosen = where if where == "config" or "/" in where else f"{where}/odd"
        file = conf / f"{chosen}.yaml"
        kept = file.read_bytes() if file.exists() else None
        remove(file)
        make(file)
        ending = typed(reading(where, place), place)
        if not ending.sound:
            bad.append(f"{where}: {file.read_bytes()[:60]!r} {ending}" if file.is_file() else f"{where}: {ending}")
        remove(file)
        if kept is not None:
            file.write_bytes(kept)
    assert not bad, "\n".join(bad)


ROW = {"subject": "leave", "question": "How many days?", "choices": ["20", "25"], "answer": 1}
TASK = {
    "task": "mine",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "choices",
    "doc_to_target": "answer",
}
ODD_VALUES: Sequence[object] = (
    None, True, 0, -1, 1.5, float("nan"), 10**30, "", "x", "../../x", "/dev/zero", "a\nb", "\x1b[31m", "\ud800", "\0",
    "{{ ''.__class__ }}", "{{question", "{% include '/etc/passwd' %}", "${oc.env:HOME}", [], ["a"],
    ["a", "a"], ["", ""],
    [1, 2], [[]], {}, {"a": 1}, {"test": 5}, "x" * 100_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def stock() -> Settings:
    """The settings of the embedded suite, whose nodes are configured with an odd file."""
    return compose(parse([]), "base", 0)


def complaint(key: str, node: dict[str, Any], **changed: object) -> str:
    """Configure a node with other values; return the complaint, empty where there is none."""
    try:
        configure({**node, **changed}, key)
    except UserError as error:
        return str(error)
    return ""


def rows_of(file: Path, stock: Settings) -> list[str]:
    """Read a file of rows as prompts and as training data; return the two complaints."""
    few = {"requests": 1, "warmup_requests": 0, "seconds": None}
    return [
        complaint("latency", stock.measures["latency"], prompts=str(file), **few),
        complaint("steps.lora", stock.steps["lora"], data=str(file)),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries({}, optional={key: JSON | st.just(value) for key, value in ROW.items()})


@settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROWS | JSON, max_size=3), end=st.sampled_from(["\n", "\r\n", "", "\n\n", " \n", ",\n"]))
def test_rows_of_any_kind_are_read_or_refused_by_file(
    rows: list[object], end: str, tmp_path: Path, stock: Settings
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(end.join(json.dumps(row) for row in rows), encoding="utf-8", newline="")
    for complained in rows_of(file, stock):
        assert not complained or "rows.jsonl" in complained


def test_bytes_of_any_kind_are_no_rows(tmp_path: Path, stock: Settings) -> None:
    file = tmp_path / "rows.jsonl"
    for make in [*map(writing, ODD_TEXTS[:30]), *ODD_PLACES]:
        make(file)
        assert all(rows_of(file, stock))
        remove(file)


def test_a_task_of_any_kind_is_read_or_refused_in_one_line(tmp_path: Path, stock: Settings) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW))
    file = tmp_path / "mine.yaml"
    accuracy = {**stock.measures["accuracy"], "limit": None}
    for key, value in drawn(6, 60, itertools.product([*TASK, "include", "group", "process_docs"], ODD_VALUES)):
        file.write_text(yaml.safe_dump({**TASK, key: value}), encoding="utf-8", errors="surrogatepass")
        complaint("accuracy", accuracy, tasks=[str(file)])
    for make in [*map(writing, ODD_TEXTS[:30]), *ODD_PLACES]:
        remove(file)
        make(file)
        assert complaint("accuracy", accuracy, tasks=[str(file)])
