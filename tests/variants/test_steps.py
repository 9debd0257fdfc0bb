"""What every step states of itself: role, revision, cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import pytest

from bench.steps.base_logprobs import LogProbs
from variants.configure import configure
from variants.step import Role, Step, identity
from variants.steps.int8 import Int8

Catalogue = Mapping[str, Mapping[str, object]]
ROLES: dict[str, Role] = {
    "source": "source",
    "gguf": "convert",
    "f32": "convert",
    **dict.fromkeys(("q8", "q6", "q5", "q4", "q3", "q2", "nf4", "int8"), "quantize"),
    "lora": "finetune",
    "merge": "merge",
}


@pytest.fixture
def steps(catalogue: Catalogue) -> dict[str, Step]:
    return {name: configure(node, f"steps.{name}") for name, node in catalogue.items()}


def test_every_step_of_the_catalogue_states_what_it_does(steps: dict[str, Step]) -> None:
    assert {name: step.role for name, step in steps.items()} == ROLES
    assert {*ROLES.values(), LogProbs.role} == set(get_args(Role))


def test_a_step_that_only_others_are_compared_with_is_a_reference() -> None:
    assert (LogProbs.role, LogProbs.gives) == ("reference", "logprobs")


def test_revision_0_is_no_part_of_the_identity(steps: dict[str, Step]) -> None:
    with_revision = {name for name, step in steps.items() if "revision" in identity(step, "cpu")}
    assert with_revision == {name for name, step in steps.items() if step.revision} == {"lora", "merge", "nf4"}


def test_the_identity_of_a_step_is_what_existing_caches_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("variants.step.version", lambda package: "1.0")
    assert identity(Int8(6.0), "cpu") == {
        "kind": "int8",
        "fields": {"outlier_threshold": 6.0},
        "tools": {"torch": "1.0", "transformers": "1.0", "bitsandbytes": "1.0"},
        "device": "cpu",
    }


def test_a_fine_tune_is_expected_to_outweigh_all_other_steps_together(steps: dict[str, Step]) -> None:
    costs = {name: step.expected_cost for name, step in steps.items()}
    assert min(costs.values()) > 0
    assert costs.pop("lora") > sum(costs.values())
