"""Packed weights and adapters in transformers: their scores, their number formats, their limits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from bench.runtimes.forest import Request
from bench.runtimes.transformers import Transformers
from tests.conftest import make, steps_of
from tests.hostile.architectures import make_folder
from tests.runtimes.conftest import PROMPT, Catalogue, scored
from variants.load import load_model
from variants.paths import ROOT


def test_an_adapter_runs_on_its_four_bit_base(
    cache: Path, catalogue: Catalogue, short_training: dict[str, Any]
) -> None:
    short = {**catalogue, "lora": {**catalogue["lora"], **short_training}}
    qlora = make(cache, short, ["source", "nf4", "lora"])
    runtime = Transformers(2048, 64, 64, "float32", "bfloat16", 2, "none")
    session = runtime.open(qlora, "cpu")
    assert "NF4" in session.facts["dtype"]
    assert all(map(math.isfinite, scored(session, [Request([1, 20], [30, 40])])))
    assert [part.kind for part in qlora.deployed()] == ["nf4", "adapter"]


@pytest.mark.parametrize("step", ["nf4", "int8"])
def test_packed_weights_score_in_groups_as_alone_and_as_unpacked_up_to_their_rounding(
    cache: Path, catalogue: Catalogue, step: str
) -> None:
    import torch

    made = make(cache, catalogue, ["source", step])
    packed = Transformers(2048, 64, 64, "float32", "bfloat16", 2, "none").open(made, "cpu")
    texts = [packed.tokenize(f"{PROMPT} {answer}", bos=True) for answer in ("28 days", "28 hours", "none", "N")]
    requests = [Request(tokens[:-1], tokens[-1:]) for tokens in texts]
    together = scored(packed, requests)
    assert together == pytest.approx([scored(packed, [request])[0] for request in requests], abs=0.05)
    unpacked = load_model(made.path, "float32", "cpu").dequantize().float()
    with torch.inference_mode():
        rows = [torch.log_softmax(unpacked(torch.tensor([tokens[:-1]])).logits[0, -1], dim=-1) for tokens in texts]
    plain = [float(row[tokens[-1]]) for row, tokens in zip(rows, texts, strict=True)]
    assert together == pytest.approx(plain, abs=0.2)  # activations are rounded too


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("step", ["nf4", "int8"])
def test_all_but_packed_weights_are_in_the_number_format_that_the_record_names(
    cache: Path, catalogue: Catalogue, step: str, dtype: str
) -> None:
    made = make(cache, catalogue, ["source", step])
    session = Transformers(2048, 64, 64, dtype, "bfloat16", 2, "none").open(made, "cpu")
    dtypes = {str(parameter.dtype) for parameter in session._model.parameters() if parameter.is_floating_point()}
    assert dtypes == {f"torch.{dtype}"}
    assert session.facts["dtype"].startswith(f"{dtype} compute, {step.upper()} weights multiplied in ")
    assert np.isfinite(scored(session, [Request([1, 20], [30, 40])])).all()


def test_weights_with_biases_and_a_tied_output_layer_are_packed_and_scored(tmp_path: Path, tiny_model: Path) -> None:
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    sizes: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
    }
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=2048, num_key_value_heads=4, max_position_embeddings=256, **sizes)
    config.tie_word_embeddings = True
    config.initializer_range = 0.1
    model: Any = Qwen2ForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # zeros would not show whether they are added
            parameter.data.normal_()
    model.half().save_pretrained(tmp_path / "qwen")
    tokenizer.save_pretrained(tmp_path / "qwen")
    steps = steps_of(tmp_path / "qwen")
    for step in ("nf4", "int8"):
        made = make(tmp_path, steps, ["source", step])
        assert "BF16" not in made.tensor_types  # a float16 model is not rounded to bfloat16 on the way
        session = Transformers(256, 64, 64, "float32", "bfloat16", 2, "none").open(made, "cpu")
        plain = Transformers(256, 64, 64, "float32", "bfloat16", 2, "none").open(
            make(tmp_path, steps, ["source"]), "cpu"
        )
        requests = [Request([1, 20, 30], [40]), Request([1, 20, 30], [50])]
        packed = scored(session, requests)
        assert packed == pytest.approx(scored(plain, requests), abs=0.1)
        for name, parameter in session._model.named_parameters():
            if name.endswith("bias"):
                parameter.data.zero_()
        assert scored(session, requests) != pytest.approx(packed, abs=0.1)


def test_positions_that_depend_on_a_texts_length_are_refused_beyond_the_limit(
    cache: Path, catalogue: Catalogue
) -> None:
    session = Transformers(512, 64, 64, "float32", "bfloat16", 2, "none").open(
        make(cache, catalogue, ["source"]), "cpu"
    )
    session._model.config.rope_parameters = {"rope_type": "longrope", "original_max_position_embeddings": 300}
    session.start_scoring(300)
    with pytest.raises(RuntimeError, match=r"more than 300 tokens, one here has 301: set runtime.transformers.n_ctx"):
        session.start_scoring(301)


@pytest.mark.parametrize(("cap", "attention", "block"), [(None, "sdpa", 16384), (20.0, "eager", 8192)])
def test_a_model_that_caps_its_attention_has_it_computed_as_stated_in_blocks_that_fit(
    tmp_path: Path, cap: float | None, attention: str, block: int
) -> None:
    model = make_folder("gemma3", tmp_path / "gemma3")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "attn_logit_softcapping": cap}))
    made = make(tmp_path, steps_of(model), ["source"])
    session = Transformers(4096, 16384, 16384, "float32", "bfloat16", 2, "none").open(made, "cpu")
    assert session.facts["attention"] == attention
    limits, chosen = session.start_scoring(2400)
    assert (limits.tokens, chosen["batch_tokens"], chosen["cache_tokens"]) == (block, block, 2400 + block)


def test_outlier_columns_that_int8_picks_for_all_tokens_at_once_do_not_pass_for_unheeded_masks(cache: Path) -> None:
    """The reference model has outlier channels: what else is evaluated moves its LLM.int8 results by 0.05 nats."""
    made = make(cache, steps_of(ROOT / "variants/reference"), ["source", "int8"])
    session = Transformers(2048, 64, 64, "float32", "bfloat16", 2, "none").open(made, "cpu")
    assert all(map(math.isfinite, scored(session, [Request([1, 20], [30, 40])])))
    layers: list[Any] = [layer for layer in session._model.modules() if hasattr(layer, "state")]
    thresholds = {layer.state.threshold for layer in layers}
    assert thresholds == {6.0}


@pytest.mark.parametrize(
    ("step", "dtype", "bound"), [("nf4", "bfloat16", 0.1), ("int8", "bfloat16", 0.1), ("int8", "float32", 0.02)]
)
def test_packed_weights_may_differ_by_as_much_as_the_coarser_of_their_formats(
    cache: Path, catalogue: Catalogue, step: str, dtype: str, bound: float
) -> None:
    session = Transformers(512, 64, 64, dtype, "bfloat16", 2, "none").open(
        make(cache, catalogue, ["source", step]), "cpu"
    )
    assert session._sharing_bound == bound


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_nf4_says_what_its_products_are_computed_in(
    cache: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, native: bool, dtype: str
) -> None:
    made = make(cache, catalogue, ["source", "nf4"])
    monkeypatch.setattr("bitsandbytes.functional.has_avx512bf16", lambda: native)
    session = Transformers(512, 64, 64, "float32", "bfloat16", 2, "none").open(made, "cpu")
    assert session.facts["dtype"] == f"float32 compute, NF4 weights multiplied in {dtype}"


def test_what_replaces_a_models_parts_is_tried_once_while_texts_are_read(
    cache: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.runtimes import torch_trunk
    from bench.scoring.scorer import Scorer

    began, read = Event(), Event()
    tried: list[object] = []

    def choose_evaluation(model: object, *_: object) -> torch_trunk.BlockEvaluation:
        began.set()
        assert read.wait(60), "texts are not read before the kernels are ready"
        tried.append(model)
        return torch_trunk.BlockEvaluation(replaced="nothing: a test")

    monkeypatch.setattr(torch_trunk, "choose_evaluation", choose_evaluation)
    made = make(cache, catalogue, ["source"])
    session = Transformers(2048, 64, 64, "float32", "bfloat16", 2, "none").open(made, "cpu")
    scorer = Scorer(session, made, lambda *_: None)
    assert began.wait(60), "nothing begins before texts are scored"
    scorer.tokenize([(PROMPT, True)])
    answers: list[int] = []
    generating = Thread(target=lambda: answers.extend(session.generate([1, 20], 2)))
    generating.start()
    generating.join(0.2)
    assert answers == []  # the trial calls parts of the model
    read.set()
    generating.join(60)
    assert len(answers) == 2
    scoring = scorer.score([Request([1, 20], [30, 40])])[1]
    assert scoring["fused"] == "nothing: a test"
    assert len(tried) == 1
