"""Both runtimes over the same tiny model: they must say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.runtimes.forest import Forest, Limits, Request
from bench.runtimes.llamacpp import LlamaCpp, log_sum_exp
from bench.runtimes.session import Session
from bench.runtimes.transformers import Transformers
from tests.conftest import make, steps_of
from variants.errors import UserError
from variants.load import load_model

Catalogue = dict[str, dict[str, Any]]
PROMPT = "Question: How many days of annual leave do I get?\nAnswer:"


@pytest.fixture(scope="module")
def sessions(cache: Path, catalogue: Catalogue) -> tuple[Session, Session]:
    """The tiny model in F32 in llama.cpp (F32 cache) and in torch."""
    exact = {**catalogue, "gguf": {**catalogue["gguf"], "type": "f32"}}
    gguf = make(cache, exact, ["source", "gguf"])
    assert gguf.parent is not None
    llama = LlamaCpp(2048, 16, 64, 64, 2, "off", "f32").open(gguf, "cpu")
    torch = Transformers(2048, 64, 64, "float32", "bfloat16", 2).open(gguf.parent, "cpu")
    return llama, torch


def test_both_tokenizers_agree_on_the_tasks(sessions: tuple[Session, Session]) -> None:
    from variants.data import read_rows
    from variants.paths import resolve

    llama, torch = sessions
    for task in ("general", "hr"):
        for row in read_rows(resolve(f"bench/tasks/{task}/test.jsonl")):
            text = f"Question: {row.question}\nAnswer: {row.choices[row.answer]}"
            assert llama.tokenize(text, bos=True) == torch.tokenize(text, bos=True)
    assert llama.vocabulary == torch.vocabulary


def scored(session: Session, requests: Sequence[Request]) -> list[float]:
    """Evaluate some requests, read by read."""
    forest = Forest(requests)
    limits, _ = session.start_scoring(forest.longest)
    values = [0.0] * int(forest.starts[-1])
    for chunk in forest.chunks():
        for block in forest.blocks(chunk, limits):
            for read, value in zip(block.reads, session.evaluate(block)[0], strict=True):
                values[read] = float(value)
    return values


def test_both_runtimes_score_alike_over_several_batches(sessions: tuple[Session, Session]) -> None:
    answers = [" 25 days", " 5 days", " the 28th of each month", " a"]
    scores = []
    for session in sessions:
        context = session.tokenize(PROMPT, bos=True)
        continuations = [session.tokenize(PROMPT + a, bos=True)[len(context) :] for a in answers]
        scores.append(scored(session, [Request(context * 5, c) for c in continuations]))
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_log_probabilities_are_those_that_the_scores_are_read_from(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        request = Request([1, 20, 30], [40, 50])
        forest = Forest([request])
        limits, _ = session.start_scoring(forest.longest)
        (block,) = forest.blocks(next(forest.chunks()), limits)
        rows = session.log_probabilities(block)
        assert rows.shape == (2, session.vocabulary.n_tokens)
        assert np.exp(rows).sum(-1) == pytest.approx([1.0, 1.0], abs=1e-4)
        assert [rows[0, 40], rows[1, 50]] == pytest.approx(scored(session, [request]), abs=1e-4)


def test_paths_may_be_many_times_longer_than_what_is_evaluated_at_once(sessions: tuple[Session, Session]) -> None:
    requests = [Request([*range(3, 450), last], [7]) for last in (5, 6)]
    scores = [scored(session, requests) for session in sessions]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_scoring_and_serving_take_turns_on_one_session(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        tokens = session.tokenize(PROMPT, bos=True)
        before = list(session.generate(tokens, 4))
        first = scored(session, [Request(tokens, [30])])
        assert list(session.generate(tokens, 4)) == before
        assert scored(session, [Request(tokens, [30])]) == first


def test_greedy_generation_is_the_same_and_goes_on_behind_end_of_text(sessions: tuple[Session, Session]) -> None:
    ours, theirs = (list(session.generate(session.tokenize(PROMPT, bos=True), 24)) for session in sessions)
    assert len(ours) == len(theirs) == 24
    assert ours == theirs


def test_every_request_evaluates_its_whole_prompt_again(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        for _ in range(2):
            list(session.generate(session.tokenize(PROMPT, bos=True), 2))
            assert session.last_prefill.evaluated_tokens == session.last_prefill.sent_tokens
            assert session.last_prefill.sent_tokens == len(session.tokenize(PROMPT, bos=True))


def test_a_prompt_that_does_not_fit_is_refused_not_cut(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        with pytest.raises(RuntimeError, match="do not fit n_ctx"):
            list(session.generate([5] * 3000, 2))


def test_an_adapter_runs_on_its_four_bit_base(cache: Path, catalogue: Catalogue) -> None:
    short = {**catalogue, "lora": {**catalogue["lora"], "epochs": 1}}
    qlora = make(cache, short, ["source", "nf4", "lora"])
    runtime = Transformers(2048, 64, 64, "float32", "bfloat16", 2)
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
    packed = Transformers(2048, 64, 64, "float32", "bfloat16", 2).open(made, "cpu")
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
    session = Transformers(2048, 64, 64, dtype, "bfloat16", 2).open(made, "cpu")
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
        session = Transformers(256, 64, 64, "float32", "bfloat16", 2).open(made, "cpu")
        plain = Transformers(256, 64, 64, "float32", "bfloat16", 2).open(make(tmp_path, steps, ["source"]), "cpu")
        requests = [Request([1, 20, 30], [40]), Request([1, 20, 30], [50])]
        packed = scored(session, requests)
        assert packed == pytest.approx(scored(plain, requests), abs=0.1)
        for name, parameter in session._model.named_parameters():
            if name.endswith("bias"):
                parameter.data.zero_()
        assert scored(session, requests) != pytest.approx(packed, abs=0.1)


def test_scoring_stays_on_the_side_of_longropes_limit_that_serving_is_on(cache: Path, catalogue: Catalogue) -> None:
    gguf = make(cache, catalogue, ["source", "gguf"])
    session = LlamaCpp(512, 64, 128, 64, 2, "auto", "f16").open(gguf, "cpu")
    assert session._short_rope is None
    assert session._number("context_length") == 512
    chosen = session.start_scoring(400)[1]
    assert session._kv_bytes(chosen["cache_tokens"]) == chosen["kv_bytes"]
    session._short_rope = 600
    assert session.start_scoring(400)[1]["cache_tokens"] == 512
    limits, chosen = session.start_scoring(490)
    assert (limits.tokens, chosen["cache_tokens"]) == (16, 512)  # 618 with a block of 128
    with pytest.raises(RuntimeError, match="behind 510 tokens LongRoPE's limit of 600 has no room for a block: lower"):
        session.start_scoring(510)
    session._short_rope = 300
    assert session.start_scoring(100)[1]["cache_tokens"] == 512  # serving at 512 takes the long ones


def test_positions_that_depend_on_a_texts_length_are_refused_beyond_the_limit(
    cache: Path, catalogue: Catalogue
) -> None:
    session = Transformers(512, 64, 64, "float32", "bfloat16", 2).open(make(cache, catalogue, ["source"]), "cpu")
    session._model.config.rope_parameters = {"rope_type": "longrope", "original_max_position_embeddings": 300}
    session.start_scoring(300)
    with pytest.raises(RuntimeError, match=r"more than 300 tokens, one here has 301: set runtime.transformers.n_ctx"):
        session.start_scoring(301)


@pytest.mark.parametrize(
    ("step", "dtype", "bound"), [("nf4", "bfloat16", 0.1), ("int8", "bfloat16", 0.1), ("int8", "float32", 0.02)]
)
def test_packed_weights_may_differ_by_as_much_as_the_coarser_of_their_formats(
    cache: Path, catalogue: Catalogue, step: str, dtype: str, bound: float
) -> None:
    session = Transformers(512, 64, 64, dtype, "bfloat16", 2).open(make(cache, catalogue, ["source", step]), "cpu")
    assert session._sharing_bound == bound


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_nf4_says_what_its_products_are_computed_in(
    cache: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, native: bool, dtype: str
) -> None:
    made = make(cache, catalogue, ["source", "nf4"])
    monkeypatch.setattr("bitsandbytes.functional.has_avx512bf16", lambda: native)
    session = Transformers(512, 64, 64, "float32", "bfloat16", 2).open(made, "cpu")
    assert session.facts["dtype"] == f"float32 compute, NF4 weights multiplied in {dtype}"


def test_cuda_without_a_gpu_is_refused(cache: Path, catalogue: Catalogue) -> None:
    import llama_cpp

    if llama_cpp.llama_supports_gpu_offload():
        pytest.skip("this llama.cpp can use a GPU")
    gguf = make(cache, catalogue, ["source", "gguf"])
    with pytest.raises(UserError, match="device=cuda"):
        LlamaCpp(64, 16, 64, 64, 2, "auto", "f16").open(gguf, "cuda")


def test_log_sum_exp_does_not_overflow() -> None:
    logits = np.array([[1e4, 1e4 - 1.0], [0.0, -1e4]], dtype=np.float32)
    assert log_sum_exp(logits) == pytest.approx([1e4 + math.log(1 + math.exp(-1)), 0.0])


def test_a_sliding_window_hides_what_it_has_passed_whatever_shares_a_prefix(tiny_model: Path) -> None:
    """Compare with the model's own masks, one request at a time: a window of 8 over paths of 24 tokens."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM

    from bench.runtimes.torch_trunk import Forward, Trunk

    size: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    heads: dict[str, Any] = {
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
        "sliding_window": 8,
    }
    layers: dict[str, Any] = {
        "use_sliding_window": True,
        "layer_types": ["full_attention", "sliding_attention"],
        "head_dim": 16,
    }
    models: list[Any] = [
        MistralForCausalLM(MistralConfig(**size, **heads)),
        Qwen3ForCausalLM(Qwen3Config(**size, **heads, **layers)),
    ]

    def logits_of(model: Any) -> Forward:
        return torch.inference_mode()(lambda *tokens, **options: model(*tokens, **options).logits)

    for model in models:
        model.eval()
        requests = [Request([1, *range(20), last], [7, last]) for last in (3, 4, 5)]
        forest, trunk = Forest(requests), Trunk(model, 60)
        forward = logits_of(model)
        values: dict[int, float] = {}
        for block in forest.blocks(next(forest.chunks()), Limits(10, 4, 10)):
            rows = torch.log_softmax(trunk.evaluate(block, forward), -1)
            values |= {
                int(n): float(rows[r, t]) for n, r, t in zip(block.reads, block.read_rows, block.targets, strict=True)
            }
        for i, request in enumerate(requests):
            tokens = torch.tensor([[*request.context, request.continuation[0]]])
            alone = torch.log_softmax(forward(tokens)[0], -1)
            expected = [float(alone[-2, 7]), float(alone[-1, request.continuation[1]])]
            assert [values[2 * i], values[2 * i + 1]] == pytest.approx(expected, abs=1e-4)


def test_an_architecture_that_does_not_go_by_its_mask_is_refused_not_scored_wrongly(
    sessions: tuple[Session, Session],
) -> None:
    """GPT-Neo's local layers have a window of their own, which no mask from outside changes."""
    import copy

    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    size: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "num_layers": 2, "num_heads": 2, "window_size": 8}
    kinds: dict[str, Any] = {"attention_types": [[["global", "local"], 1]], "initializer_range": 0.3}
    session: Any = copy.copy(sessions[1])
    model: Any = GPTNeoForCausalLM(GPTNeoConfig(**size, **kinds))
    session._model, session._trunk, session.n_ctx = model.eval(), None, 40
    session.vocabulary = replace(session.vocabulary, n_tokens=50)
    with pytest.raises(RuntimeError, match="cannot be evaluated behind a shared prefix"):
        session.start_scoring(40)
