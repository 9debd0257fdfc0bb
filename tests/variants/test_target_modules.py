"""Target modules name modules of the model: what matches none is refused with the nearest names."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import bare
from variants.configure import configure
from variants.errors import UserError
from variants.steps.lora import Lora
from variants.steps.target_modules import check_targets, stored, unmatched

MODULES = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj", "model.layers.1.mlp.up_proj"]


def test_a_name_matches_a_whole_module_or_what_follows_a_dot() -> None:
    names = ["q_proj", "self_attn.v_proj", MODULES[2], "proj", "q_prj", "layers.0", "mlp", ""]
    assert unmatched(names, MODULES) == ["proj", "q_prj", "layers.0", "mlp", ""]


def lora(catalogue: dict[str, dict[str, Any]], value: object) -> Lora:
    step: Lora = configure({**catalogue["lora"], "target_modules": value}, "steps.lora")
    return step


@pytest.mark.parametrize("value", ["q_proj, v_proj", "q_proj,v_proj", ["q_proj", " v_proj"], "q_proj ,\tv_proj"])
def test_a_list_and_a_text_with_spaces_are_the_same_names(catalogue: dict[str, dict[str, Any]], value: object) -> None:
    assert lora(catalogue, value) == lora(catalogue, "q_proj,v_proj")
    assert lora(catalogue, value).target_modules == "q_proj,v_proj"


def test_all_linear_is_written_as_ever(catalogue: dict[str, dict[str, Any]]) -> None:
    for value in ("all-linear", ["all-linear"], " all-linear "):
        assert lora(catalogue, value).target_modules == "all-linear"
    assert "target_modules" in {field.name for field in fields(Lora)}


@pytest.mark.parametrize("value", ["", "q_proj,,v_proj", [], ["all-linear", "q_proj"], [1], None, {"q_proj": 1}])
def test_what_is_no_list_of_names_is_refused(catalogue: dict[str, dict[str, Any]], value: object) -> None:
    with pytest.raises(UserError, match=r"^steps\.lora\.target_modules: got "):
        lora(catalogue, value)


def test_stored_matrices_are_the_linear_modules(tiny_model: Path) -> None:
    check_targets(["q_proj", "mlp.up_proj", "embed_tokens"], tiny_model)
    assert not any("norm" in module for module in stored(tiny_model))


def test_a_name_that_is_not_stored_must_match_a_module_of_the_model(tiny_model: Path, tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    (tmp_path / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    save_file({"another.name.weight": np.zeros((2, 2), np.float32)}, tmp_path / "model.safetensors")
    check_targets(["lm_head", "q_proj"], tmp_path)
    for name, near in (("q_prj", "did you mean q_proj"), ("query", "there are: down_proj, "), ("norm", "there are: ")):
        with pytest.raises(UserError, match=f"^target_modules: no linear module .* {name!r}; {near}"):
            check_targets(["v_proj", name], tmp_path)


def test_one_name_of_several_that_matches_nothing_stops_a_training(
    catalogue: dict[str, dict[str, Any]], tiny_model: Path, tmp_path: Path
) -> None:
    step = replace(lora(catalogue, "q_proj,w_proj"), epochs=1)
    with pytest.raises(UserError, match=r"^target_modules: no linear module .* 'w_proj'; did you mean "):
        step._adapted(bare(tiny_model, "hf"), "cpu")
