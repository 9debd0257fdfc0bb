"""A record's types: what is written is read, what is unknown is ignored, and what each step of an old record does."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from bench.records import file
from bench.records.file import decode, sealed
from bench.records.store import read
from bench.selftest import raw_values, records
from bench.summary.family import family_of
from tests.records.conftest import typed, why_left_out, written


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
def test_the_role_of_a_step_in_an_old_record_follows_from_its_class(name: str, target: str, role: str) -> None:
    content = records.record("base")
    content["config"] |= {"variant": {"name": "x", "steps": [name], "runtime": "llamacpp"}}
    content["config"]["steps"] = {name: {"_target_": target}}
    assert decode(sealed(content).encode()).roles == (role,)


def test_a_role_that_is_stated_is_believed() -> None:
    content = records.record("base")
    stated = {"name": "x", "steps": ["lora"], "runtime": "llamacpp", "roles": ["quantize"]}
    content["config"] |= {"variant": stated, "steps": {"lora": {"_target_": "variants.steps.lora.Lora"}}}
    assert decode(sealed(content).encode()).roles == ("quantize",)


def test_an_unknown_key_stays_in_the_file_and_is_ignored(tmp_path: Path) -> None:
    content = records.record("q4")
    newer = {**content, "weather": "dry", "machine": {**content["machine"], "room": 4}}
    newer["measures"] = {**content["measures"], "noise": {"decibels": [30.5]}}
    path = records.write(tmp_path, newer)
    before = path.read_bytes()
    (record,), left_out = read(tmp_path)
    assert left_out == []
    assert path.read_bytes() == before
    assert replace(record, measures={}) == replace(typed(content), measures={})
    assert record.size == typed(content).size
    assert record.measures["noise"]  # of a measure that this version does not know


def test_a_record_of_schema_1_needs_none_of_the_keys_that_were_added_to_it() -> None:
    content = records.record("q4")
    for key in ("cell", "seconds", "versions", "canary", "session", "sweep"):
        del content[key]
    content["machine"], content["measures"] = {"id": "m"}, {}
    content["config"] = {"variant": content["config"]["variant"]}
    content["lineage"] = [{key: made[key] for key in ("step", "kind", "fingerprint")} for made in content["lineage"]]
    record = typed(content)
    assert (record.cell, record.sweep, record.seconds, record.versions, record.canary) == ("", "unnamed", {}, {}, None)
    assert (record.session, record.config.suite, record.config.questions) == (None, None, None)
    assert (record.size, record.latency, record.memory, record.answers, record.divergence) == (None,) * 3 + ({}, None)


def test_a_wrong_value_is_named_with_its_place_in_the_file(tmp_path: Path) -> None:
    content = records.record("q4")
    content["measures"]["latency"]["ttft_ms"][3] = "fast"
    records.write(tmp_path, content)
    assert why_left_out(tmp_path) == "Expected `float`, got `str` - at `$.measures.latency.ttft_ms[3]`"


def test_what_is_written_is_what_is_read_back(tmp_path: Path) -> None:
    content = records.record("q4")
    content["measures"] |= {"divergence": raw_values.divergence(0.01), "noise": {"decibels": [30.5]}}
    record = typed(content)
    path = written(tmp_path, content)
    again = file.read(path)
    assert again is not None
    assert replace(again, measures={}) == replace(record, measures={})
    assert {name: msgspec.json.decode(raw) for name, raw in again.measures.items()} == content["measures"]
    for name in ("size", "latency", "memory", "answers", "divergence"):
        assert getattr(again, name) == getattr(record, name)
    file.write(again, path.with_name("copy.json"))
    assert path.with_name("copy.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_not_written(tmp_path: Path, number: float) -> None:
    record = replace(typed(records.record("q4")), seconds={"build": number})
    with pytest.raises(ValueError, match="not JSON compliant"):
        file.write(record, tmp_path / "q4.r0.json")
    assert list(tmp_path.iterdir()) == []


def test_roles_of_a_whole_chain_are_in_the_order_of_its_steps() -> None:
    roles = typed(records.record("qlora-q4")).roles
    assert roles == ("source", "quantize", "finetune", "merge", "convert", "quantize")


def test_a_class_whose_name_holds_that_of_a_fine_tune_is_none() -> None:
    content = records.record("base")
    content["config"] |= {"variant": {"name": "x", "steps": ["source", "c", "l"], "runtime": "llamacpp"}}
    targets = {"source": "variants.steps.source.Source", "c": "my.steps.Constrain", "l": "my.steps.LoraMerge"}
    content["config"]["steps"] = {step: {"_target_": target} for step, target in targets.items()}
    roles = typed(content).roles
    assert roles == ("source", "other", "other")
    assert family_of(roles, "llamacpp", "llamacpp").name == "base"
