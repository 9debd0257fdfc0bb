"""Divergence from the base, against the definition computed in full precision with transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cli import main
from bench.steps.base_logprobs import BaseValues
from variants.artifact import Artifact
from variants.cache import Cache
from variants.load import load_model


def run(results: Path, cache: Path, model: Path, *more: str) -> dict[str, Any]:
    """Measure divergence alone and return the records by variant."""
    places = [f"results_dir={results}", f"cache_dir={cache}", f"model={model}", "suite=smoke", "device=cpu"]
    only = ["suite.measures=[divergence]", "suite.once=[]", "divergence.tokens=256", "divergence.window=64"]
    assert main(["run", *places, *only, *more]) == 0
    return {p.name.partition("~")[0]: json.loads(p.read_text()) for p in results.glob("*/*/*.r*.json")}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, cache: Path) -> dict[str, Any]:
    results = tmp_path_factory.mktemp("results")
    return run(results, cache, tiny_model, "variant=base,q8,q2,base-torch,nf4")


@pytest.fixture(scope="module")
def fine_tuned(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, cache: Path, short_training: dict[str, Any]
) -> dict[str, Any]:
    results = tmp_path_factory.mktemp("fine-tuned")
    short = [f"steps.lora.{name}={value}" for name, value in short_training.items()]
    return run(results, cache, tiny_model, "variant=finetuned,finetuned-q4,qlora,qlora-q4", *short)


def reference_of(cache: Path, record: dict[str, Any]) -> Artifact:
    manifests = [json.loads(path.read_text()) for path in cache.glob("artifacts/*/artifact.json")]
    base = record["measures"]["divergence"]["base"]
    (one,) = [
        m for m in manifests if m["kind"] == "logprobs" and m["parent"] == base and m["step"]["fields"]["tokens"] == 256
    ]
    reference = Cache(cache).find(one["fingerprint"])
    assert reference is not None
    return reference


def test_every_variant_is_compared_with_the_base_of_its_own_runtime(measured: dict[str, Any]) -> None:
    divergences = {name: record["measures"]["divergence"] for name, record in measured.items()}
    assert {name: d["base_variant"] for name, d in divergences.items()} == {
        **dict.fromkeys(("base", "q8", "q2"), "base"),
        **dict.fromkeys(("base-torch", "nf4"), "base-torch"),
    }
    assert divergences["q2"]["base"] == measured["base"]["artifact"]["fingerprint"]
    assert len({d["text"] for d in divergences.values()}) == 1
    for d in divergences.values():
        assert len(d["kl"]) == len(d["same_top"]) == len(d["nll"]) == len(d["base_nll"]) == d["tokens"] == 256


def test_the_base_itself_differs_by_its_own_rounding_and_quantization_by_more(measured: dict[str, Any]) -> None:
    mean = {name: float(np.mean(r["measures"]["divergence"]["kl"])) for name, r in measured.items()}
    floor = measured["base"]["measures"]["divergence"]["rounding_floor"]
    assert 0 < floor < 1e-4
    assert mean["base"] == pytest.approx(floor, rel=1e-3)
    assert measured["base"]["measures"]["divergence"]["same_top"] == "1" * 256
    assert mean["base"] < mean["q8"] < mean["q2"]
    assert mean["base-torch"] < mean["nf4"]


def test_the_numbers_are_those_of_the_definition(measured: dict[str, Any], cache: Path, tiny_model: Path) -> None:
    """Base and NF4 in torch, whole windows at once and in double precision, token by token against the record."""
    import torch

    record = measured["nf4"]["measures"]["divergence"]
    windows = BaseValues.open(reference_of(cache, measured["nf4"]).path).windows
    nf4 = cache / "artifacts" / measured["nf4"]["artifact"]["fingerprint"]
    rows = []
    for folder in (tiny_model, nf4):
        model = load_model(folder, "float32", "cpu")
        with torch.inference_mode():
            each = [model(torch.tensor([[1, *window[:-1]]])).logits[0] for window in windows.tolist()]
        rows.append(torch.log_softmax(torch.cat(each).double(), -1))
    base, other = rows
    tokens = torch.tensor(windows.reshape(-1).tolist())
    nll = [(-row[torch.arange(len(tokens)), tokens]).tolist() for row in rows]
    assert record["base_nll"] == pytest.approx(nll[0], abs=1e-3)
    assert record["nll"] == pytest.approx(nll[1], abs=1e-2)  # 4-bit products round with their shape
    assert record["kl"] == pytest.approx((base.exp() * (base - other)).sum(-1).tolist(), abs=1e-2)
    same = (base.argmax(-1) == other.argmax(-1)).tolist()
    assert sum(a == (b == "1") for a, b in zip(same, record["same_top"], strict=True)) >= 254  # near ties may fall


def test_the_base_is_kept_as_an_artifact_that_numpy_reads_and_that_counts_no_parameters(
    measured: dict[str, Any], cache: Path
) -> None:
    reference = reference_of(cache, measured["q2"])
    kept = BaseValues.open(reference.path)
    assert isinstance(kept.log_probabilities, np.memmap)  # it need not be in memory
    assert np.load(reference.path / "log_probabilities.npy").dtype == np.float16
    assert kept.log_probabilities.shape == (256, 2048)
    assert np.allclose(np.exp(kept.rows(np.arange(256, dtype=np.int32))).sum(-1), 1, atol=1e-5)
    assert {file.name for file in reference.files} == {f"{name}.npy" for name in vars(kept)}
    assert (reference.n_parameters, reference.tensor_types, reference.weight_bytes) == (0, {}, 0)
    assert reference.size_bytes > 2 * 256 * 2048


def test_quantizing_a_fine_tune_moves_it_less_from_its_parent_than_from_the_base(fine_tuned: dict[str, Any]) -> None:
    tuned, q4 = (fine_tuned[name]["measures"]["divergence"] for name in ("finetuned", "finetuned-q4"))
    assert tuned["parent"] is None
    assert "parent_kl" not in tuned
    assert q4["parent"] == fine_tuned["finetuned"]["artifact"]["fingerprint"]
    assert 0 < np.mean(q4["parent_kl"]) < np.mean(q4["kl"])
    assert q4["parent_same_top"].count("1") > q4["same_top"].count("1")
    assert len(q4["parent_kl"]) == len(q4["parent_same_top"]) == q4["tokens"]
    assert 0 < q4["parent_rounding_floor"] < 1e-4


def test_the_parent_of_qlora_in_four_bits_is_its_merged_sixteen_bit_model_and_the_adapter_has_none(
    fine_tuned: dict[str, Any], cache: Path
) -> None:
    q4 = fine_tuned["qlora-q4"]
    before = q4["lineage"][-2]
    measured = q4["measures"]["divergence"]
    assert (before["step"], before["fingerprint"]) == ("gguf", measured["parent"])
    assert fine_tuned["qlora"]["measures"]["divergence"]["parent"] is None
    assert 0 < np.mean(measured["parent_kl"]) < np.mean(measured["kl"])


def test_a_parent_that_is_the_base_is_measured_once(measured: dict[str, Any]) -> None:
    for name, base in (("q2", "base"), ("nf4", "base-torch")):
        divergence = measured[name]["measures"]["divergence"]
        assert divergence["parent"] == divergence["base"] == measured[base]["artifact"]["fingerprint"]
        assert "parent_kl" not in divergence
    assert measured["base"]["measures"]["divergence"]["parent"] is None


def test_a_text_file_takes_the_place_of_the_tasks(tmp_path: Path, tiny_model: Path, cache: Path) -> None:
    text = tmp_path / "own.txt"
    text.write_text("The tide tables say when the harbour may be left. " * 60)
    record = run(tmp_path, cache, tiny_model, "variant=base", f"divergence.text={text}")["base"]
    assert record["measures"]["divergence"]["tokens"] == 256


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("divergence.text=nowhere.txt", "divergence.text: got nowhere.txt, no such file"),
        ("divergence.tokens=0", "divergence.tokens: got 0, allowed: 1 and more"),
        ("divergence.base={llamacpp: bas, transformers: base-torch}", "divergence.base.llamacpp: got 'bas'"),
        ("divergence.base={llamacpp: nf4, transformers: base-torch}", "allowed: a variant that runs in llamacpp"),
        ("divergence.tasks=[generel]", "did you mean general or"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    typed: str, complaint: str, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [f"results_dir={tmp_path}/results", f"cache_dir={tmp_path}/cache", f"model={tiny_model}", "variant=base"]
    assert main(["run", *places, typed]) == 2
    assert complaint in capsys.readouterr().err
    assert not list(tmp_path.glob("results/*/*/*.r*.json"))
