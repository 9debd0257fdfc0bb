"""Mistakes a user makes: one line, exit code 2, nothing built and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made_up_cards import MadeUpCard, install
from tests.sweep.conftest import Run
from variants.paths import ROOT
from variants.steps.model_checks import longest_stated


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("variant=finetund-q4", "did you mean finetuned-q4"),
        ("variant=base,qq", "no 'qq'"),
        ("suite=embeded", "did you mean embedded"),
        ("latency.request=5", "did you mean latency.requests"),
        ("device=gpu", "allowed: auto, cpu, cuda"),
        ("steps.q4.type=Q4_X", "steps.q4.type: got 'Q4_X', allowed: "),
        ("steps.gguf.type=f8", "steps.gguf.type: got 'f8', allowed: f32, f16, bf16"),
        ("variant.steps=[source,gguf,q44]", "unknown step 'q44'; did you mean q4"),
        ("variant.steps=[source,q4]", "'q4' takes gguf, but source gives hf"),
        ("variant.steps=[gguf]", "'gguf' takes hf, but it comes first"),
        ("variant.steps=[]", "has no steps"),
        ("variant.runtime=transformers", "runtime transformers opens hf, nf4, int8, adapter, but its last step"),
        ("variant.runtime=vllm", "unknown runtime 'vllm'"),
        ("latency.requests=lots", "latency.requests: got 'lots', allowed: a whole number"),
        ("latency.requests=null", "latency.requests: got null, allowed: a whole number"),
        ("accuracy.limit=few", "accuracy.limit: got 'few', allowed: a whole number or null"),
        ("accuracy.tasks=general", "accuracy.tasks: got 'general', allowed: a list"),
        ("latency.requests=0", "latency.requests: got 0"),
        ("accuracy.tasks=[generl]", "no task 'generl'; did you mean general"),
        ("accuracy.limit=0", "accuracy.limit: got 0"),
        ("suite.measures=[sizes]", "unknown measure 'sizes'; did you mean size"),
        ("runtime.llamacpp.kv_type=q4", "kv_type: got 'q4', allowed: f16, f32"),
        ("steps.lora.rank=4,8", "only variant takes a list"),
        ("smoke", "an override is KEY=VALUE"),
        ("round=1", "round: not yours to set"),
        ("sweep=mine", "sweep: not yours to set"),
        ("suite.qqqqqq=1", "unknown key; there are: suite.measures, suite.name, "),
        ("steps.lora=null", "steps.lora: got null, allowed: keys with values"),
        ("runtime=null", "configuration: Config group override must be"),
        ("suite.rounds=0", "suite.rounds: got 0"),
        ("suite.rounds=abc", "suite.rounds: got 'abc'"),
        ("suite.variants=[bass]", "suite.variants: no 'bass' in conf/variant; did you mean base"),
        ("suite.once=[sizes]", "suite.once: unknown measure 'sizes'; did you mean size"),
        ("+lora.rank=1", "keys are changed, not added or removed"),
        ("latency.prompt=hello", "latency.prompt: got 'hello'"),
        ("accuracy.tasks=[hr,hr]", "two of them call themselves 'hr'"),
        ("accuracy.tasks=[mmlux]", "accuracy.tasks: no task 'mmlux'; did you mean mmlu or "),
        (
            "accuracy.tasks=[zzzzqqqq]",
            "no task 'zzzzqqqq'; embedded are general, general-validation, hr, hr-validation (any task, group or tag",
        ),
        ("accuracy.tasks=[nowhere/mine.yaml]", "accuracy.tasks: no task file nowhere/mine.yaml"),
        ("accuracy.tasks=[]", "accuracy.tasks: got []"),
        ("accuracy.num_fewshot=-1", "accuracy.num_fewshot: got -1"),
        ("limit_per_subject=0", "accuracy.limit_per_subject: got 0, allowed: 1 and more"),
        ("limit_per_subject=5", "accuracy.limit_per_subject: got 5 and limit 20; one of them must be null"),
        ("data_dir=nowhere/mmlu", "accuracy.data_dir: got nowhere/mmlu, no such folder"),
        ("data_dir=tests", "tests, but none of the tasks reads MMLU's CSVs"),
        ("accuracy.chat_template=true", "accuracy.chat_template: got true, but "),
        ("runtime.llamacpp.n_ctx=0", "runtime.llamacpp.n_ctx: got 0, allowed: 1 and more"),
    ],
)
def test_an_unknown_name_or_value_is_named_with_what_is_allowed(refused: Run, argument: str, named: str) -> None:
    assert named in refused(argument)


def test_a_prompt_longer_than_the_models_own_context_is_refused_while_planning(refused: Run) -> None:
    line = refused("suite.measures=[prefill]", "prefill.lengths=[16,512]")
    assert "prefill.lengths: got 512, allowed: less than the context of 512 tokens (runtime.llamacpp.n_ctx, " in line


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 4096}, "max_position_embeddings": 77}, 4096),
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, 131072),  # Cohere: llama.cpp takes the second
        ({}, None),
    ],
)
def test_a_longest_text_is_read_as_the_engines_read_it(
    tmp_path: Path, config: dict[str, object], longest: int | None
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert longest_stated(tmp_path) == longest


def test_a_target_module_that_matches_nothing_is_refused_while_planning(refused: Run) -> None:
    named = "steps.lora.target_modules: no linear module of this model is called 'v_prj'; did you mean v_proj"
    assert named in refused("steps.lora.target_modules=[q_proj,' v_prj']", "variant=finetuned")


def test_a_step_value_of_the_wrong_type_names_its_key(refused: Run) -> None:
    assert "steps.lora.rank: " in refused("steps.lora.rank=abc", "variant=finetuned")


def test_cuda_without_a_gpu_stops_before_anything_is_built(refused: Run) -> None:
    from bench.machine.gpu import gpu_names

    if gpu_names():
        pytest.skip("this machine has a GPU")
    assert "device=cuda: no NVIDIA GPU" in refused("device=cuda")


def test_a_card_that_is_not_there_and_a_split_that_cannot_be_stop_before_anything_is_built(
    refused: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, MadeUpCard("GPU-0", "H100"))
    assert "device=cuda:9: no such card; there is cuda:0 (H100, GPU-0)" in refused("device=cuda:9")
    assert "split: got 'rows', allowed: none, layers" in refused("split=rows")
    assert "split: got 'layers', allowed here: none" in refused("split=layers", "device=cpu")


def test_a_plan_that_outgrows_the_disk(refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    assert "the plan needs" in refused()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{not json", ":2: no JSON: Expecting property name"),
        ('{"question": "q?"}', ":2: no 'choices'; a row is"),
        ('{"question": "q?", "choices": ["a", "b"], "answer": 2}', ":2: answer is 2, allowed: 0 to 1"),
        ('{"question": "q?", "choices": ["a", 7], "answer": 0}', ":2: choices is ['a', 7], allowed: a list of texts"),
    ],
)
@pytest.mark.parametrize("used_by", ["task", "prompts", "training"])
def test_a_malformed_row_is_named_by_file_and_line(
    refused: Run, tmp_path: Path, line: str, named: str, used_by: str
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "q?", "choices": ["a", "b"], "answer": 1}\n' + line + "\n")
    task = tmp_path / "mine.yaml"
    task.write_text(
        "task: mine\ndataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: question\n"
    )
    argument = {
        "task": f"accuracy.tasks=[{task}]",
        "prompts": f"latency.prompts={rows}",
        "training": f"steps.lora.data={rows}",
    }[used_by]
    assert f"rows.jsonl{named}" in refused(argument, "variant=finetuned")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("task: [a, b]", "its `task` is not a name"),
        ("- a", "no mapping at its top"),
        ("dataset_path: json", "it has no `task`"),
    ],
)
def test_a_file_that_is_no_task_yaml(refused: Run, tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    complaint = refused(f"accuracy.tasks=[{tmp_path / 'mine.yaml'}]")
    assert "mine.yaml: not a task YAML" in complaint
    assert named in complaint


def test_a_malformed_mmlu_row_is_named_by_file_and_line(refused: Run, tmp_path: Path) -> None:
    for split in ("dev", "test"):
        (tmp_path / "mmlu" / split).mkdir(parents=True)
        (tmp_path / "mmlu" / split / f"anatomy_{split}.csv").write_text("q?,1,2,3,4,A\nq?,1,2,3,4,X\n")
    complaint = refused("accuracy.tasks=[mmlu_anatomy]", "accuracy.limit=null", f"data_dir={tmp_path / 'mmlu'}")
    assert "dev/anatomy_dev.csv:2: its answer is 'X', allowed: A, B, C, D" in complaint


def test_rows_that_are_not_utf_8_are_named(refused: Run, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes('{"question": "café?"}'.encode("latin-1"))
    assert "rows.jsonl:1: not UTF-8 at byte 17" in refused(f"latency.prompts={rows}")


@pytest.mark.parametrize("key", ["results_dir", "cache_dir"])
def test_a_folder_that_cannot_be_written(refused: Run, tmp_path: Path, key: str) -> None:
    file = tmp_path / "a-file"
    file.touch()
    assert f"{key}=" in refused(f"{key}={file}/below")


def test_questions_from_the_hub_while_offline_stop_the_run_before_anything_is_built(
    tmp_path: Path, tiny_model: Path
) -> None:
    folders = [f"cache_dir={tmp_path / 'cache'}", f"results_dir={tmp_path / 'results'}"]
    few = ["suite=smoke", "variant=base-torch", "accuracy.tasks=[general,mmlu_anatomy]", *folders]
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", "run", f"model={tiny_model}", *few],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done
    assert "the data of 'mmlu_anatomy' is neither in the local cache nor available from the hub" in done.stderr
    assert done.stderr.strip().endswith("go online once, or give data_dir")
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "cache").glob("*/artifact.json"))
