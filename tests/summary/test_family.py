"""The family of a variant, from what its steps do and where it runs."""

from __future__ import annotations

import pytest

from bench.records.store import read
from bench.selftest import records
from bench.summary.family import family_of, native_runtime
from bench.summary.summarize import summarize


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The family of each stock variant, and of one that nobody has heard of."""
    results = tmp_path_factory.mktemp("results")
    unheard = ((*records.TUNED, "q3"), "llamacpp", 2_000_000, 0.82, 0.80, 0.85)
    records.write_sweep(results, {**records.VARIANTS, "finetuned-q3": unheard}, rounds=1)
    return {row.variant: row.family.name for row in summarize(read(results)[0]).rows}


def test_a_variant_nobody_has_heard_of_has_its_family(families: dict[str, str]) -> None:
    assert families["finetuned-q3"] == "fine-tuned + quantized"


def test_families_of_the_stock_variants(families: dict[str, str]) -> None:
    assert {name for name, family in families.items() if family == "control"} == {
        "base-torch",
        "finetuned-torch",
        "nf4",
    }
    assert {name for name, family in families.items() if family == "QLoRA"} == {"qlora", "qlora-q4"}
    assert families["base"] == "base"
    assert families["q2"] == "quantized"
    assert families["finetuned"] == "fine-tuned"


def test_without_llama_cpp_the_only_runtime_is_no_control() -> None:
    native = native_runtime(["transformers"])
    assert family_of(["other"], "transformers", native).name == "base"
