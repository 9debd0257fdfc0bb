"""The chain of steps: identity, cache, verification."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make
from variants.artifact import Artifact, StepReport, read_artifact
from variants.build import build, check_disk
from variants.cache import Cache
from variants.errors import UserError
from variants.step import Planned, fingerprint, plan
from variants.steps.int8 import Int8
from variants.steps.nf4 import Nf4
from variants.steps.source import Source
from variants.weights import histogram

Catalogue = dict[str, dict[str, Any]]


def changed(catalogue: Catalogue, step: str, **fields: object) -> Catalogue:
    return {**catalogue, step: {**catalogue[step], **fields}}


def last(catalogue: Catalogue, *names: str) -> str:
    return plan("test", names, catalogue, "cpu")[-1].fingerprint


def test_the_identity_is_the_chain_and_its_fields_not_the_names(catalogue: Catalogue) -> None:
    mine = {**catalogue, "mine": catalogue["q4"]}
    assert last(mine, "source", "gguf", "mine") == last(catalogue, "source", "gguf", "q4")
    assert last(catalogue, "source", "gguf", "q8") != last(catalogue, "source", "gguf", "q4")
    assert last(changed(catalogue, "gguf", type="f32"), "source", "gguf", "q4") != last(
        catalogue, "source", "gguf", "q4"
    )


def test_the_order_of_fine_tuning_and_quantizing_is_part_of_the_identity(catalogue: Catalogue) -> None:
    assert last(catalogue, "source", "lora") != last(catalogue, "source", "nf4", "lora")


def test_the_identity_follows_the_content_of_the_training_data_not_its_path(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    rows = [{"subject": "s", "question": "q?", "choices": ["a", "b"], "answer": 0}]
    copies = [tmp_path / name for name in ("one.jsonl", "two.jsonl")]
    for copy in copies:
        copy.write_text("".join(json.dumps(row) + "\n" for row in rows))
    one, two = (last(changed(catalogue, "lora", data=str(copy)), "source", "lora") for copy in copies)
    assert one == two
    copies[0].write_text(copies[0].read_text().replace("q?", "p?"))
    assert last(changed(catalogue, "lora", data=str(copies[0])), "source", "lora") != two


def test_a_built_artifact_is_found_again_and_knows_its_lineage(cache: Path, catalogue: Catalogue) -> None:
    q4 = make(cache, catalogue, ["source", "gguf", "q4"])
    assert [a.kind for a in q4.lineage()] == ["hf", "gguf", "gguf"]
    assert Cache(cache).find(q4.fingerprint) == q4
    assert make(cache, catalogue, ["source", "gguf", "q4"]) == q4


def test_rows_of_256_make_real_k_quants(cache: Path, catalogue: Catalogue) -> None:
    q4 = make(cache, catalogue, ["source", "gguf", "q4"])
    f16 = q4.parent
    assert f16 is not None
    assert set(q4.tensor_types) <= {"F32", "Q4_K", "Q6_K"}
    assert q4.n_parameters == f16.n_parameters
    assert q4.size_bytes < 0.5 * f16.size_bytes
    assert not q4.warnings


def test_a_quant_is_never_made_from_a_quant(cache: Path, catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match=r"already .*Q4_K"):
        make(cache, catalogue, ["source", "gguf", "q4", "q2"])


@pytest.mark.parametrize("step", ["nf4", "int8"])
def test_the_linear_layers_are_packed_and_the_parameter_count_stays(
    cache: Path, catalogue: Catalogue, step: str
) -> None:
    packed = make(cache, catalogue, ["source", step])
    assert packed.parent is not None
    kept = packed.parent.tensor_types["BF16"] - 7
    assert packed.tensor_types == {step.upper(): 7, "BF16": kept}
    assert packed.n_parameters == packed.parent.n_parameters
    assert packed.weight_bytes < packed.parent.weight_bytes


def test_a_revision_of_a_steps_code_is_part_of_the_identity(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan("test", ["source", "nf4"], catalogue, "cpu")
    monkeypatch.setattr(Nf4, "revision", Nf4.revision + 1)
    after = plan("test", ["source", "nf4"], catalogue, "cpu")
    assert before[0].fingerprint == after[0].fingerprint
    assert before[1].fingerprint != after[1].fingerprint


def test_a_threshold_below_zero_is_refused() -> None:
    with pytest.raises(UserError, match=r"outlier_threshold: got -1, allowed: 0 and more"):
        Int8(outlier_threshold=-1)


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_artifact_is_named_and_refused(
    cache: Path, catalogue: Catalogue, tmp_path: Path, damage: str
) -> None:
    source = plan("test", ["source"], catalogue, "cpu")[0]
    made = build(Cache(tmp_path), source, None, "cpu")
    file = made.path / "model.safetensors"
    content = file.read_bytes()
    file.unlink()
    if damage == "truncated":
        file.write_bytes(content[:1000])
    with pytest.raises(UserError, match=r"model\.safetensors: (1,000 bytes, but artifact\.json says|is missing)"):
        read_artifact(made.path)


def test_an_artifact_of_log_probabilities_that_an_older_version_made_still_opens(tmp_path: Path) -> None:
    """It claimed parameters. Nothing reads it any more, but `bench gc` must list it and not fail at it."""
    folder = Cache(tmp_path).artifact("e" * 64)
    folder.mkdir(parents=True)
    (folder / "log_probabilities.safetensors").write_bytes(bytes(10))
    step = {"name": "logprobs", "kind": "logprobs", "fields": {}, "tools": {}, "device": "cpu"}
    manifest = {
        **{"kind": "logprobs", "fingerprint": folder.name, "parent": None, "step": step, "notes": {}, "warnings": []},
        "files": [{"name": "log_probabilities.safetensors", "size_bytes": 10, "sha256": sha256(bytes(10)).hexdigest()}],
        **{"tensor_types": {"F16": 1}, "n_parameters": 524288, "build_seconds": 1.0, "peak_resident_bytes": 1},
    }
    (folder / "artifact.json").write_text(json.dumps(manifest))
    artifact = Cache(tmp_path).find(folder.name)
    assert artifact is not None
    assert (artifact.kind, artifact.size_bytes) == ("logprobs", 10)


def test_a_killed_build_leaves_nothing_that_looks_finished(catalogue: Catalogue, tmp_path: Path) -> None:
    planned = plan("test", ["source", "gguf"], catalogue, "cpu")
    source = build(Cache(tmp_path), planned[0], None, "cpu")
    leftover = Cache(tmp_path).artifacts / f".{planned[1].fingerprint}.1"
    leftover.mkdir()
    (leftover / "model.gguf").write_bytes(b"GGUF")
    assert Cache(tmp_path).find(planned[1].fingerprint) is None
    build(Cache(tmp_path), planned[1], source, "cpu")
    assert not leftover.exists()


def test_a_model_that_changes_between_plan_and_build_is_not_kept_as_the_one_that_was_planned(
    catalogue: Catalogue, tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (planned,) = plan("test", ["source"], changed(catalogue, "source", path=str(model)), "cpu")
    with (model / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"\x01")
    with pytest.raises(UserError, match="step source: a file that it reads was changed after the run was planned"):
        build(Cache(tmp_path), planned, None, "cpu")
    assert Cache(tmp_path).find(planned.fingerprint) is None


@dataclass(frozen=True)
class CountedSource(Source):
    """The source step, leaving a line in `tally` whenever it really runs."""

    tally: str = ""

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        with Path(self.tally).open("a") as lines:
            lines.write("ran\n")
        return super().run(parent, out, device)


def _build(cache: Cache, planned: Planned, started: Barrier) -> None:
    started.wait()
    build(cache, planned, None, "cpu")


def test_two_processes_that_want_one_artifact_build_it_once(tiny_model: Path, tmp_path: Path) -> None:
    tally = tmp_path / "tally"
    step = CountedSource(str(tiny_model), str(tally))
    planned = Planned("source", step, fingerprint(step, None, "cpu"), {})
    context = multiprocessing.get_context("spawn")
    started = context.Barrier(2)
    children = [context.Process(target=_build, args=(Cache(tmp_path), planned, started)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert [p.name for p in Cache(tmp_path).artifacts.iterdir() if p.is_dir()] == [planned.fingerprint]
    assert tally.read_text() == "ran\n"


def test_a_plan_that_outgrows_the_disk_is_refused() -> None:
    check_disk({"gguf": 500, "q4": 400}, 1000, Path("cache"))
    with pytest.raises(UserError) as refused:
        check_disk({"q4": 2_000_000_000, "f32": 8_000_000_000}, 1_000_000_000, Path("cache"))
    assert str(refused.value) == (
        "cache_dir=cache: the plan needs 11.0 GB of disk, 1.0 GB are free (the largest: f32 8.0 GB, q4 2.0 GB); "
        "free some, choose another cache_dir=…, or fewer variants"
    )


def test_scales_of_packed_weights_are_not_counted_as_tensors() -> None:
    from variants.weights import Tensor

    four_bit = ["a.weight", "a.weight.absmax", "a.weight.quant_map", "a.weight.quant_state.bitsandbytes__nf4"]
    eight_bit = {"b.weight": "I8", "b.SCB": "F32", "b.weight_format": "U8", "b.bias": "BF16"}
    stored = {**dict.fromkeys(four_bit, "U8"), **eight_bit, "c.weight": "BF16"}
    types = histogram([Tensor(name, kind, 1) for name, kind in stored.items()])
    assert types == {"BF16": 2, "INT8": 1, "NF4": 1}
