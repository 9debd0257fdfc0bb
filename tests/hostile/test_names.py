"""Names, paths and references that are typed: refused where they are typed, or taken as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.sweep.plan.compose import compose
from bench.sweep.plan.grid import plan_sweep, with_hub_folder
from bench.sweep.plan.request import parse
from bench.sweep.plan.settings import Settings
from tests.hostile.conftest import run_line, typed
from variants.errors import UserError
from variants.paths import ROOT
from variants.safety.names import LONGEST, is_name, name_of

PATHS = (
    "a=b", "a, b", "it's", 'with "quotes"', "[x] (1) {y}", " two  spaces", "größe", "日本語", "1e3", "007", "null",
    "true",
    "#1; 50 % & more", "back\\slash", "~", "-x", "a\tb", "*?", "'a'",
)  # fmt: skip


def composed(*arguments: str, variant: str = "base") -> Settings:
    return compose(parse(arguments), variant, 0, check=True)


def refusal(*arguments: str, variant: str = "base") -> str:
    with pytest.raises(UserError) as raised:
        composed(*arguments, variant=variant)
    return str(raised.value)


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", ".hidden", "-x", "--yes", "a/b", "a\\b", "a b", "a\n", "\na", "größe", "a\0", "~", "a" * 65, "a~b"],
)  # fmt: skip
def test_a_text_that_is_no_name(text: str) -> None:
    assert not is_name(text)


def test_a_model_of_the_hub_may_have_the_longest_name_that_the_hub_allows() -> None:
    name = "A" * 96
    settings = composed(f"model=org/{name}", "model.revision=refs/pr/1")
    assert (settings.model.id, settings.model.name) == (f"org/{name}", "a" * LONGEST)
    assert "allowed: names as the hub has them" in refusal("model=hub", f"model.id=org/{name}a")
    assert "model=org/" in refusal(f"model=org/{name}a")


@given(st.text(max_size=90))
@settings(max_examples=200, derandomize=True)
def test_a_name_is_one_part_of_a_path_and_any_folder_has_one(text: str) -> None:
    name = name_of(text)
    assert is_name(name)
    assert len(name) <= LONGEST
    if is_name(text):
        assert Path(text).parts == (text,)
        assert Path("/x", text).resolve().parent == Path("/x")


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("variant.name=../../x", "variant.name: not yours to set; a variant is called as its file"),
        ("suite.name=other", "suite.name: not yours to set; a suite is called as its file"),
        ("model.name=../../x", "model.name: got '../../x', allowed: at most 64 letters"),
        ("model.name=..", "model.name: got '..', allowed: "),
        ("variant.steps=[source,../../x]", "variant.steps: got '../../x', allowed: "),
        ("model=org/..", "model=org/..: no such name in conf/model, folder, or org/name"),
        ("model.id=../../x", "model.id: got '../../x', allowed: names as the hub has them"),
        ("model.revision=../../../x", "model.revision: got '../../../x', allowed: names as the hub has them"),
    ],
)
def test_a_name_is_refused_where_it_is_typed(argument: str, complaint: str) -> None:
    assert complaint in refusal(argument)


@pytest.mark.parametrize(
    ("group", "key", "text"),
    [
        ("variant", "variant", "name: q4\nsteps: [source, gguf]\nruntime: llamacpp\n"),
        ("suite", "suite", "# @package _global_\ndefaults: [smoke, _self_]\n"),
        ("model", "model", "name: reference\npath: variants/reference\nid: null\nrevision: null\n"),
    ],
)
def test_a_copied_file_with_the_other_name_left_in_says_what_to_change(
    conf: Path, group: str, key: str, text: str
) -> None:
    (conf / group / "mine.yaml").write_text(text)
    request = parse([f"{key}=mine"])
    with pytest.raises(UserError, match=f"conf/{group}/mine.yaml: name: got '.*', allowed: mine, .*; change the name"):
        compose(request, request.variants[0] if request.variants else "base", 0, check=True)


def test_a_file_that_is_called_as_no_name_may_be_is_refused(conf: Path) -> None:
    shutil.copy(conf / "variant" / "q4.yaml", conf / "variant" / "my q4.yaml")
    with pytest.raises(UserError, match=r"conf/variant/my q4.yaml: got 'my q4', allowed: "):
        parse(["variant='my q4'"])


def test_defaults_that_include_themselves_are_named(conf: Path) -> None:
    (conf / "suite" / "a.yaml").write_text("defaults: [b]\n")
    (conf / "suite" / "b.yaml").write_text("defaults: [a]\n")
    assert refusal("suite=a") == "conf/suite/a.yaml: its defaults include themselves: suite/a → suite/b → suite/a"


@pytest.mark.parametrize("folder", PATHS)
def test_a_path_of_any_letters_is_taken_as_it_is_typed(place: Path, folder: str) -> None:
    (place / folder).mkdir()
    shutil.copy("bench/tasks/hr/test.jsonl", place / folder / "rows.jsonl")
    rows = place / folder / "rows.jsonl"
    places = (f"results_dir={rows.parent}/r", f"cache_dir={rows.parent}/c", f"data_dir={rows.parent}")
    request = parse([f"model={rows.parent}", *places, f"latency.prompts={rows}", f"steps.lora.data={rows}"])
    settings = compose(request, "base", 0, check=True)
    assert (settings.results_dir, settings.cache_dir) == (f"{rows.parent}/r", f"{rows.parent}/c")
    assert settings.model.path == settings.measures["accuracy"]["data_dir"] == str(rows.parent)
    assert settings.measures["latency"]["prompts"] == settings.steps["lora"]["data"] == str(rows)
    assert settings.overrides == request.overrides


@pytest.mark.parametrize("name", ["größe, mine", "a=b", "it's", "[x]"])
def test_paths_in_a_list_of_tasks_may_have_any_letters(name: str) -> None:
    typed_tasks = f'accuracy.tasks=[hr,"/data/{name}/mine.yaml", /data/größe/x.yaml]'
    assert composed(typed_tasks).measures["accuracy"]["tasks"] == [
        "hr",
        f"/data/{name}/mine.yaml",
        "/data/größe/x.yaml",
    ]


@pytest.mark.parametrize("name", ["${oc.env:HOME}", "\\${model.id}"])
def test_a_model_folder_that_is_called_as_a_reference_is_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert composed(f"model={tmp_path / name}").model.path == str(tmp_path / name)


def test_a_path_in_quotes_is_the_text_in_them_and_null_stays_null() -> None:
    assert composed("results_dir='a, b'").results_dir == "a, b"
    assert composed("data_dir=null").measures["accuracy"]["data_dir"] is None
    assert composed("divergence.data_dir=${cache_dir}").measures["divergence"]["data_dir"] == ".cache"


@pytest.mark.parametrize(
    "path",
    ["", " ", "x" * 5000, "x/" * 3000, "~no-such-user/x", "{tmp}/loop", "{tmp}/loop/x", "{tmp}/file/x", "/", "/proc/x"],
)
@pytest.mark.parametrize("key", ["results_dir", "cache_dir"])
def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_made(place: Path, key: str, path: str) -> None:
    (place / "loop").symlink_to("loop")
    (place / "file").touch()
    ending = typed(run_line(place, f"{key}={path.format(tmp=place)}"), place)
    assert (ending.code, ending.sound) == (2, True), ending


@pytest.mark.parametrize("results", ["cache", "cache/results", "cache/../cache/x", "link/x"])
def test_records_do_not_lie_in_the_cache_which_is_safe_to_delete(place: Path, results: str) -> None:
    (place / "link").symlink_to("cache")
    ending = typed(run_line(place, f"results_dir={place / results}"), place)
    assert ending.code == 2
    assert "which is safe to delete, and records are not" in ending.errors


def test_a_hub_cache_for_reading_alone_may_have_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: str) -> Path:
        raise UserError("not in the local cache")

    monkeypatch.setenv("HF_HOME", "/proc/no-home")
    request, asked = parse(["model=org/name"]), composed("model=org/name")
    monkeypatch.setattr("variants.model_folder.hub_folder", lambda *_: tmp_path)
    assert f"model.path={tmp_path}" in with_hub_folder(request, asked).overrides
    monkeypatch.setattr("variants.model_folder.hub_folder", missing)
    with pytest.raises(UserError, match=r"^HF_HOME=/proc/no-home: cannot be written"):
        with_hub_folder(request, asked)


def test_a_home_that_cannot_be_written_is_named_with_hf_home(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/no-home")
    ending = typed(run_line(place), place)
    assert ending.code == 2
    assert "HF_HOME=/proc/no-home/.cache/huggingface: cannot be written" in ending.errors
    assert "set HF_HOME to a folder that can" in ending.errors
    monkeypatch.setenv("HF_HOME", str(place / "hub"))
    parsed = parse(run_line(place)[1:])
    assert [cell.variant for cell in plan_sweep(parsed).cells] == ["base"]


@pytest.mark.parametrize(
    "value",
    ["${oc.env:HOME}", "${hydra:runtime.cwd}", "${now:%Y}", "${oc.decode:'[1]'}", "${${suite.name}:HOME}", "${round}"],
)
def test_a_reference_reads_another_setting_and_nothing_else(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HOME", "/secret-home")
    complaint = refusal(f"latency.prompt={value} {{question}}")
    assert complaint.startswith("latency.prompt: got ")
    assert "secret-home" not in complaint


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ("variant", "# @package _global_\nhydra: {{callbacks: {{x: {{_target_: os.system, command: id}}}}}}"),
        ("suite", "# @package hydra.callbacks.x\n_target_: os.system\ncommand: touch {proof}\n"),
        ("model", "# @package hydra.callbacks.x\n_target_: os.system\ncommand: touch {proof}\n"),
        ("variant", "# @package _global_\nhydra: {{sweeper: {{_target_: os.system}}}}"),
        ("suite", "# @package hydra.sweeper\n_target_: os.system\n"),
        ("model", "# @package hydra.launcher\n_target_: os.system\n"),
        ("steps", "# @package _global_\nhydra: {{job: {{env_set: {{PATH: /tmp}}}}}}\n"),
    ],
)  # fmt: skip
def test_what_hydra_would_run_or_write_elsewhere_is_refused(conf: Path, place: Path, group: str, text: str) -> None:
    proof = place / "proof"
    (conf / group / "odd.yaml").write_text(text.format(proof=proof))
    ending = typed(["run", "suite=smoke", "variant=base", f"{group}=odd", *run_line(place)[3:]], place)
    assert (ending.code, ending.sound) == (2, True), ending
    assert "hydra." in ending.errors
    assert not os.path.lexists(proof)


@pytest.mark.parametrize("mark", ["", "+", "++", "~"])
@pytest.mark.parametrize("key", ["hydra.callbacks.x._target_", "hydra/launcher", "hydra.sweep.dir", "hydra"])
def test_no_key_of_hydra_is_the_users(mark: str, key: str) -> None:
    with pytest.raises(UserError, match="not yours to set; what starts the cells is launcher=NAME"):
        parse([f"{mark}{key}=os.system"])


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("suite.rounds=1000000", "suite.rounds: got 1000000, allowed: a whole number from 1 to 100"),
        ("suite.variants=[]", "suite.variants: got [], allowed: a list that is not empty"),
        ("suite.measures=[]", "suite.measures: got [], allowed: a list that is not empty"),
        ("accuracy.tasks=[[general]]", "accuracy.tasks[0]: got ['general'], allowed: text"),
        ("runtime.llamacpp.n_threads=2147483648", "n_threads: got 2147483648, allowed: up to 2147483647"),
        ("runtime.llamacpp.n_threads=513", "n_threads: got 513, allowed: 512 and less"),
        ("runtime.llamacpp.n_ctx=4294967297", "n_ctx: got 4294967297, allowed: up to 2147483647"),
        ("runtime.llamacpp.n_batch=-4294967297", "n_batch: got -4294967297, allowed: up to 2147483647"),
        ("accuracy.seed=-1", "accuracy.seed: got -1, allowed: 0 and more"),
        ("accuracy.limit=99999999999", "accuracy.limit: got 99999999999, allowed: up to 2147483647"),
        ("latency.seconds=nan", "latency.seconds: got nan, allowed: a finite number"),
        ("latency.seconds=1e999", "latency.seconds: got inf, allowed: a finite number"),
        ("latency.requests=true", "latency.requests: got True, allowed: a whole number"),
        ("latency.requests=1.0", "latency.requests: got 1.0, allowed: a whole number"),
    ],
)
def test_a_number_or_a_list_that_makes_no_sense_is_refused(place: Path, argument: str, complaint: str) -> None:
    ending = typed(run_line(place, argument), place)
    assert (ending.code, ending.sound) == (2, True), ending
    assert complaint in ending.errors


@pytest.mark.parametrize(
    "argument", ["epochs=100000", "rank=4294967297", "seed=-1", "learning_rate=nan", "dropout=true", "alpha=1.0"]
)
def test_a_number_of_training_that_makes_no_sense_is_refused(place: Path, argument: str) -> None:
    key, _, _ = argument.partition("=")
    ending = typed(run_line(place, "variant=finetuned", f"steps.lora.{argument}"), place)
    assert (ending.code, ending.sound) == (2, True), ending
    assert f"steps.lora.{key}: got " in ending.errors


def test_a_folder_of_a_very_long_name_has_a_short_one(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 250)
    shutil.copytree(ROOT / "variants" / "reference", folder)
    request = parse([f"model={folder}"])
    assert len(f"{'v' * LONGEST}~{request.sweep}.r99.json") <= 255
