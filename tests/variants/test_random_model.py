"""Models of random weights: shapes of published models, drawn from a seed, and readable by every tool after that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from variants.errors import UserError
from variants.model_folder import model_files
from variants.paths import ROOT
from variants.random_model.make import make
from variants.random_model.shape import Shape
from variants.steps.model_checks import refuse_misfit
from variants.weights import tensors

PUBLISHED = {
    "125m": 0.124, "1b": 1.236, "3b": 3.213, "8b": 8.030, "13b": 13.016, "70b": 70.554,
}  # fmt: skip
"""Billions of parameters: GPT-2 small's, and those that transformers counts in the published Llamas."""
TINY = Shape("nothing", 2, 64, 4, 2, 96, 3000, False, 128, 10000.0, 0)


def shape_of(size: str) -> Shape:
    fields: dict[str, Any] = yaml.safe_load((ROOT / f"conf/model/random-{size}.yaml").read_text())["shape"]
    return Shape(**fields)


@pytest.mark.parametrize("size", PUBLISHED)
def test_a_shape_has_the_parameters_of_the_model_it_is_like_and_rows_that_k_quants_take(size: str) -> None:
    shape = shape_of(size)
    assert shape.n_parameters / 1e9 == pytest.approx(PUBLISHED[size], abs=0.0005)
    assert {dimensions[-1] % 256 for _, dimensions in shape.tensors} == {0}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("variants.storage.tensors.SHARD_BYTES", 300_000)
        make(TINY, folder, "cpu")
    return folder


def test_it_is_a_model_folder_in_several_shards_with_every_tensor_of_its_architecture(made: Path) -> None:
    assert {file.name for file in model_files(made)} >= {"config.json", "tokenizer.json", "tokenizer.model"}
    assert len(list(made.glob("*.safetensors"))) == 3
    assert sum(tensor.n_elements for tensor in tensors(made)) == TINY.n_parameters
    assert json.loads((made / "model.safetensors.index.json").read_text())["metadata"]["total_size"] == TINY.n_bytes
    refuse_misfit(made)


def test_its_weights_have_the_usual_spread_and_its_answers_are_finite(made: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(made, dtype=torch.float32)
    assert float(model.model.layers[1].mlp.down_proj.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert model.model.norm.weight.unique().tolist() == [1.0]
    tokens = AutoTokenizer.from_pretrained(made)("How many days of leave?", return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(tokens).logits
    assert logits.shape[-1] == TINY.vocabulary
    assert bool(logits.isfinite().all())


def test_the_seed_and_the_name_of_a_tensor_decide_its_values_and_the_other_tensors_do_not(
    made: Path, tmp_path: Path
) -> None:
    from safetensors import safe_open

    def tensor(folder: Path, name: str) -> Any:
        for path in folder.glob("*.safetensors"):
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118 (no mapping)
                    return file.get_tensor(name)
        raise AssertionError(f"{folder} has no {name}")

    name = "model.layers.0.self_attn.q_proj.weight"
    for folder, shape in (("shallow", replace(TINY, layers=1)), ("seeded", replace(TINY, seed=1))):
        (tmp_path / folder).mkdir()
        make(shape, tmp_path / folder, "cpu")
    assert tensor(tmp_path / "shallow", name).equal(tensor(made, name))
    assert not tensor(tmp_path / "seeded", name).equal(tensor(made, name))
    assert not tensor(made, name).equal(tensor(made, name.replace(".0.", ".1.")))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"layers": 0}, "model.shape.layers: got 0, allowed: 1 and more"),
        ({"heads": 3}, "model.shape.heads: got 3, allowed: a number that divides hidden (64) into even parts"),
        ({"kv_heads": 3}, "model.shape.kv_heads: got 3, allowed: a divisor of heads (4)"),
        ({"seed": -1}, "model.shape.seed: got -1, allowed: 0 and more"),
        ({"vocabulary": 100}, "model.shape.vocabulary: got 100, allowed: 2048 and more, the tokens of the embedded"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_by_its_key(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError) as refused:
        replace(TINY, **change)
    assert str(refused.value).startswith(complaint)
