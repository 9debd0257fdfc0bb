"""A sweep of a model of random weights: made before the plan, measured like any other, and never scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from bench.cli import main
from bench.measures.token_reads import TokenReads, token_reads
from bench.records.store import read
from bench.sweep.garbage import find_garbage
from bench.sweep.plan import card_room
from bench.sweep.plan.card_room import Dimensions, too_large
from bench.sweep.plan.cell import make_cell
from bench.sweep.plan.compose import compose
from bench.sweep.plan.random_model import random_model, with_random_folder
from bench.sweep.plan.request import parse
from tests.made_up_cards import MadeUpCard, install
from tests.sweep.conftest import Run
from variants.cache import Cache
from variants.errors import UserError
from variants.model_folder import copy_tokenizer
from variants.random_model.make import REFERENCE

SHAPE = [
    "model=random-125m", "model.shape.layers=1", "model.shape.hidden=256", "model.shape.heads=4",
    "model.shape.kv_heads=2", "model.shape.ffn=256", "model.shape.vocabulary=2300", "device=cpu",
]  # fmt: skip
FEW = [
    "suite.measures=[size,latency,memory,prefill,accuracy,divergence]", "suite.rounds=1", "latency.requests=3",
    "latency.warmup_requests=1", "latency.output_tokens=4", "prefill.lengths=[16,32]", "prefill.times=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The results and the cache of one sweep of Q4, and what it printed."""
    folder = tmp_path_factory.mktemp("random")
    places = [f"results_dir={folder / 'results'}", f"cache_dir={folder / 'cache'}"]
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        for module in ("bench.sweep.plan.random_model", "bench.sweep.show.overview", "bench.commands.run"):
            patch.setattr(f"{module}.say", lambda text="", **_: printed.append(str(text)))
        assert main(["run", "suite=speed", *SHAPE, *FEW, *places, "variant=q4"]) == 0
    return folder, "\n".join(printed)


def test_it_is_built_and_timed_and_what_it_answers_is_not_measured(swept: tuple[Path, str]) -> None:
    folder, printed = swept
    records, unsound = read(folder / "results")
    assert not unsound
    assert [record.variant for record in records] == ["q4"]
    for record in records:
        assert record.config.model.shape is not None
        assert record.config.model.shape["hidden"] == 256
        assert sorted(record.measures) == ["latency", "memory", "prefill", "size"]
        assert "accuracy: not measured (random weights)" in record.warnings
        assert "divergence: not measured (random weights)" in record.warnings
        assert record.prefill is not None
        assert record.prefill.prompt_tokens == [16, 32, 16, 32]
        assert record.config.model.path is None
        assert record.config.steps["source"]["path"] == "random-125m"
        assert (folder / "cache/models" / str(record.config.model.revision)).is_dir()
        assert str(folder) not in Path(next((folder / "results").glob("*/*/*.json"))).read_text()
    plan, outcome = printed.split("pass 2")
    assert [part.count("accuracy: not measured (random weights)") for part in (plan, outcome)] == [1, 1]
    assert "random-125m: random weights, 0.00 B parameters" in printed
    page = next((folder / "results/report").glob("*/report.md")).read_text()
    assert "⚠ Accuracy: not measured (random weights)" in page
    assert page.splitlines()[0] == "# q4 alone was measured: nothing to compare it with"


def test_what_a_token_reads_is_all_tensors_where_the_output_layer_is_the_embedding_table(
    swept: tuple[Path, str],
) -> None:
    [record] = read(swept[0] / "results")[0]
    converted = Cache(swept[0] / "cache").open(record.lineage[1].fingerprint)
    reads = token_reads(converted.gguf())
    assert reads is not None
    n_norms = 3 * 256
    n_matrices = 2300 * 256 + 256 * (2 * 256 + 2 * 128) + 3 * 256 * 256
    assert reads == TokenReads(weight_bytes=2 * n_matrices + 4 * n_norms, kv_values=2 * 128)
    assert record.size is not None
    assert record.size.kv_values == 2 * 128
    assert 0.3 * reads.weight_bytes < (record.size.read_bytes or 0) < 0.6 * reads.weight_bytes


def test_a_model_that_is_there_is_not_made_again_and_goes_when_no_record_names_it(
    swept: tuple[Path, str], tmp_path: Path
) -> None:
    folder = swept[0]
    request = parse(["suite=speed", *SHAPE, f"cache_dir={folder / 'cache'}"])
    [made] = (folder / "cache" / "models").iterdir()
    before = made.stat().st_mtime_ns
    placed = with_random_folder(request, compose(request, "base", 0))
    assert compose(placed, "base", 0).model.path == str(made)
    assert made.stat().st_mtime_ns == before
    cache = Cache(folder / "cache")
    assert find_garbage(cache, folder / "results") == []
    (tmp_path / "results").mkdir()
    assert ("random model", made) in [(one.step, one.path) for one in find_garbage(cache, tmp_path / "results")]


def test_f32_is_left_out_where_the_memory_is_too_small_for_it(
    swept: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = parse(["suite=speed", *SHAPE, f"cache_dir={swept[0] / 'cache'}"])
    request = with_random_folder(request, compose(request, "base", 0))
    cells = [make_cell(compose(request, name, 0)) for name in ("f32", "base")]
    assert cells[0].settings.suite.if_it_fits == ("f32",)
    model = Dimensions.of(cells[0].settings.model_folder)
    assert too_large(cells, model, ["f32"]) == {}
    monkeypatch.setattr(card_room, "memory_bytes", lambda: 2_000_000)
    assert list(too_large(cells, model, ["f32"])) == ["f32"]
    assert too_large(cells, model, []) == {}
    with pytest.raises(UserError, match=r"^suite\.variants: none fits: it needs [\d.]+ MB of memory"):
        too_large(cells[:1], model, ["f32"])
    elsewhere = msgspec.structs.replace(cells[0].settings, launcher={"several_machines": True})
    assert too_large([replace(cells[0], settings=elsewhere)], model, ["f32"]) == {}


def test_the_dimensions_of_a_shape_are_those_of_the_model_that_is_made_of_it(swept: tuple[Path, str]) -> None:
    request = parse(["suite=speed", *SHAPE, f"cache_dir={swept[0] / 'cache'}"])
    model = random_model(compose(request, "base", 0))
    assert model is not None
    assert model.is_made
    made = Dimensions.of(model.folder)
    assert made.config == model.dimensions.config
    assert sorted(made.tensors, key=str) == sorted(model.dimensions.tensors, key=str)


def test_another_tokenizer_makes_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = compose(parse(["suite=speed", *SHAPE, f"cache_dir={tmp_path}"]), "base", 0)
    copy_tokenizer(REFERENCE, tmp_path)
    monkeypatch.setattr("bench.sweep.plan.random_model.REFERENCE", tmp_path)
    digests = []
    for content in (None, "{}"):
        if content is not None:
            (tmp_path / "tokenizer_config.json").write_text(content)
        model = random_model(settings)
        assert model is not None
        digests.append(model.digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("device", "needed", "there"), [("cuda", "143.4 GB of GPU", "H100 with 40.0 GB"), ("cpu", "142.4 GB of", "40.0 GB")]
)
def test_memory_that_is_too_small_is_known_before_a_byte_of_the_model_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Run, device: str, needed: str, there: str
) -> None:
    install(monkeypatch, tmp_path, MadeUpCard("GPU-a", "H100", total_bytes=40 * 10**9))
    monkeypatch.setattr("bench.runtimes.llamacpp.LlamaCpp.check_cuda", lambda _: None)
    monkeypatch.setattr(card_room, "memory_bytes", lambda: 40 * 10**9)
    line = refused("suite=speed", f"device={device}", model="random-70b")
    assert line.startswith(f"bench: variant base: needs {needed} memory (weights 141.1 GB, keys and values of a full ")
    assert f"; there is {there}. What fits: variant=q2" in line
    assert not (tmp_path / "cache").exists()


def test_the_disk_is_compared_with_the_model_and_all_that_is_built_of_it_before_a_byte_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Run
) -> None:
    monkeypatch.setattr("bench.sweep.plan.random_model.shutil.disk_usage", lambda _: SimpleNamespace(free=60 * 10**9))
    monkeypatch.setattr(card_room, "memory_bytes", lambda: 60 * 10**9)
    line = refused("suite=speed", "variant=base,q4", "device=cpu", model="random-13b")
    assert "the plan needs 66.0 GB of disk, 60.0 GB are free (the largest: " in line
    assert "(the largest: random-13b 26.0 GB, gguf 26.0 GB, q4 8.0 GB)" in line
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("model.shape.layers=many", "model.shape.layers: got 'many', allowed: a whole number"),
        ("model.shape.kv_heads=5", "model.shape.kv_heads: got 5, allowed: a divisor of heads (12)"),
        ("model.shape.width=1", "model.shape.width: unknown key"),
        ("prefill.lengths=[4096]", "prefill.lengths: got 4096, allowed: less than the context of 4096 tokens"),
        ("model.shape.context=1000", "prefill.lengths: got 2048, allowed: less than the context of 1000 tokens"),
        ("runtime.llamacpp.n_ctx=2000", "prefill.lengths: got 2048, allowed: less than the context of 2000 tokens"),
        ("model.shape=null", "model.shape, model.path, model.id: got null, allowed: one that says what random-125m is"),
        ("model.path=variants/reference", "model.path: got variants/reference, allowed: null"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_in_one_line(typed: str, complaint: str, refused: Run) -> None:
    assert refused("suite=speed", typed, model="random-125m").startswith(f"bench: {complaint}")
