"""The committed configuration: every file of it composes and plans."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench.records.types import Model
from bench.sweep.plan.cell import make_cell
from bench.sweep.plan.compose import compose
from bench.sweep.plan.conf import CONF, names
from bench.sweep.plan.request import parse
from variants.data.rows import read_rows
from variants.paths import resolve

VARIANTS = {
    "f32", "base", "q8", "q6", "q5", "q4", "q3", "q2",
    "finetuned", "finetuned-q8", "finetuned-q5", "finetuned-q4", "finetuned-q3", "finetuned-q2",
    "qlora", "qlora-q4", "base-torch", "finetuned-torch", "nf4", "int8",
}  # fmt: skip


def test_the_variants_are_these() -> None:
    assert set(names("variant")) == VARIANTS


@pytest.mark.parametrize("path", sorted((CONF / "variant").rglob("*.yaml")), ids=lambda p: p.stem)
def test_a_variant_is_three_lines_under_its_own_name_and_can_be_planned(path: Path) -> None:
    variant = yaml.safe_load(path.read_text())
    assert list(variant) == ["name", "steps", "runtime"]
    assert variant["name"] == path.stem
    cell = make_cell(compose(parse([]), path.stem, 0))
    assert [planned.name for planned in cell.chain] == variant["steps"]


@pytest.mark.parametrize("suite", names("suite"))
def test_a_suite_names_variants_and_measures_that_exist(suite: str) -> None:
    settings = compose(parse([f"suite={suite}", "prefill.lengths=[256]"]), "base", 0)  # the embedded model takes 512
    assert set(settings.suite.variants) <= VARIANTS
    assert set(settings.suite.once) <= set(settings.suite.measures)
    make_cell(settings)


def test_the_embedded_suite_sends_enough_requests_for_a_two_sided_p99() -> None:
    settings = compose(parse([]), "base", 0)
    assert settings.suite.rounds * settings.measures["latency"]["requests"] >= 400


def test_the_mmlu_suite_asks_five_shot_in_a_context_that_holds_it_and_its_latency_prompts_fit_a_tiny_one() -> None:
    settings = compose(parse(["suite=mmlu", "limit_per_subject=20", "data_dir=x"]), "base", 0)
    accuracy, latency = settings.measures["accuracy"], settings.measures["latency"]
    assert (accuracy["tasks"], accuracy["num_fewshot"]) == (["mmlu"], 5)
    assert (accuracy["limit_per_subject"], accuracy["data_dir"]) == (20, "x")
    assert all(runtime["n_ctx"] >= 4096 for runtime in settings.runtime.values())
    prompts = [latency["prompt"].format(question=row.question) for row in read_rows(resolve(latency["prompts"]))]
    assert max(map(len, prompts)) + latency["output_tokens"] < 512 - 1


def test_the_speed_suite_times_enough_requests_for_a_p99_and_its_longest_prompts_fit_its_context() -> None:
    settings = compose(parse(["suite=speed"]), "base", 0)
    assert settings.suite.rounds * settings.measures["latency"]["requests"] >= 368
    assert max(settings.measures["prefill"]["lengths"]) < settings.runtime["llamacpp"]["n_ctx"]
    asked = settings.suite.questions
    assert asked is not None
    assert asked.options is not None
    assert {name for claim in asked.options.claims for name in (claim.before, claim.after)} <= {"f32", "base", "q4"}


def test_what_the_questions_are_and_how_many_names_a_sweep_but_not_where_they_lie(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "moved", "other")]
    for folder, answer in zip(folders, "AAB", strict=True):
        (folder / "test").mkdir(parents=True)
        (folder / "test" / "anatomy_test.csv").write_text(f"1 + 1?,2,3,4,5,{answer}\n")
    one, moved, other = (parse(["suite=mmlu", f"data_dir={folder}"]).sweep for folder in folders)
    assert one == moved
    assert len({one, other, parse(["suite=mmlu"]).sweep}) == 3
    assert parse(["suite=mmlu", "data_dir=null"]).sweep == parse(["suite=mmlu"]).sweep
    assert parse(["suite=mmlu", "limit_per_subject=20"]).sweep != parse(["suite=mmlu"]).sweep


def test_variants_that_share_a_step_share_its_artifact() -> None:
    chains = {name: make_cell(compose(parse([]), name, 0)).chain for name in ("finetuned", "finetuned-q4", "qlora")}
    assert [p.fingerprint for p in chains["finetuned-q4"]][:4] == [p.fingerprint for p in chains["finetuned"]]
    assert chains["qlora"][-1].fingerprint != chains["finetuned"][1].fingerprint


def test_only_the_first_round_measures_what_cannot_change() -> None:
    first, second = (make_cell(compose(parse([]), "q4", round_)) for round_ in (0, 1))
    assert tuple(first.measures) == first.settings.suite.measures
    assert {"size", "accuracy"} < set(first.measures)
    assert tuple(second.measures) == ("latency", "memory")


def test_the_stock_sweep_alone_writes_under_stock_names() -> None:
    assert parse([]).suffix == parse(["variant=q4", "results_dir=x"]).suffix == ""
    changed = parse(["steps.q4.type=Q8_0"])
    assert changed.suffix == changed.sweep != "embedded-reference"
    assert parse(["suite=smoke"]).suffix == "smoke-reference"
    assert parse(["steps.q4.type=Q8_0"]).suffix != parse(["steps.q4.type=Q6_K"]).suffix


def test_a_hub_model_composes_with_its_snapshot_and_a_revision_that_looks_like_a_number(tmp_path: Path) -> None:
    request = parse(["model=org/name", "model.revision=12345e67"])
    settings = compose(request.having(path=str(tmp_path), revision="12345e67"), "base", 0)
    assert settings.model == Model(name="name", path=str(tmp_path), id="org/name", revision="12345e67")
    assert settings.steps["source"]["path"] == str(tmp_path)


@pytest.mark.parametrize("name", sorted(set(names("model")) - {"local", "hub"}))
def test_a_named_model_pins_its_revision_or_ships_with_the_project(name: str) -> None:
    model = compose(parse([f"model={name}", "model.path=variants/reference"]), "base", 0).model
    assert model.id is None or len(str(model.revision)) == 40


def test_a_folder_or_a_hub_id_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "My Model").mkdir()
    assert parse([f"model={tmp_path / 'My Model'}"]).sweep.startswith("embedded-my-model-")
    assert "model.id=org/Name-7B" in parse(["model=org/Name-7B"]).overrides
