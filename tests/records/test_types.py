"""A record's types: what each step of an old record does, and what a newer one states."""

from __future__ import annotations

import json

import pytest

from bench.records.file import decode
from bench.selftest import records


@pytest.mark.parametrize(
    ("name", "target", "role"),
    [
        ("q4", "variants.steps.quantize.Quantize", "quantize"),
        ("small", "variants.steps.quantize.Quantize", "quantize"),
        ("int8", "variants.steps.int8.Int8", "quantize"),
        ("nf4", "variants.steps.nf4.Nf4", "quantize"),
        ("lora", "variants.steps.lora.Lora", "finetune"),
        ("tune-again", "variants.steps.lora.Lora", "finetune"),
        ("merge", "variants.steps.merge.Merge", "merge"),
        ("gguf", "variants.steps.gguf.Gguf", "convert"),
        ("source", "variants.steps.source.Source", "source"),
        ("train", "variants.steps.constrain.Constrain", "other"),
    ],
)
def test_a_step_of_a_record_of_before_is_known_by_its_class(name: str, target: str, role: str) -> None:
    content = records.record("base")
    content["config"] |= {"variant": {"name": "x", "steps": [name], "runtime": "llamacpp"}}
    content["config"]["steps"] = {name: {"_target_": target}}
    assert decode(json.dumps(content).encode()).roles == (role,)


def test_a_role_that_is_stated_is_believed() -> None:
    content = records.record("base")
    stated = {"name": "x", "steps": ["lora"], "runtime": "llamacpp", "roles": ["quantize"]}
    content["config"] |= {"variant": stated, "steps": {"lora": {"_target_": "variants.steps.lora.Lora"}}}
    assert decode(json.dumps(content).encode()).roles == ("quantize",)
