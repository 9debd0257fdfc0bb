"""What only a GPU shows of the torch runtime: attention along paths there, its parity, several cards."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.machine.gpu import usable_gpus
from bench.runtimes.forest import Request
from bench.runtimes.rounding import SHARING_BOUND
from bench.runtimes.session import FROM_PYTHON
from bench.runtimes.transformers import Transformers
from bench.selftest.scratch import make_tiny_model
from tests.conftest import make, steps_of
from tests.runtimes.conftest import Catalogue, scored
from variants.paths import ROOT

pytestmark = pytest.mark.skipif(not usable_gpus(), reason="needs an NVIDIA GPU")
RUNTIME = Transformers(512, 64, 256, "float32", "bfloat16", 2, "none")


def questions() -> list[Request]:
    """Texts behind one long prefix, four choices each."""
    rng = random.Random(0)
    examples = [rng.randrange(3, 2000) for _ in range(150)]
    texts = [[*examples, *(rng.randrange(3, 2000) for _ in range(30))] for _ in range(40)]
    return [Request(text, [choice]) for text in texts for choice in (5, 6, 7, 8)]


def test_scores_along_paths_are_those_of_float32_within_the_stated_bound(cache: Path, catalogue: Catalogue) -> None:
    made = make(cache, catalogue, ["source"])
    exact = np.array(scored(RUNTIME.open(made, "cpu"), questions()))
    session = RUNTIME.open(made, "cuda")
    assert session.facts["gpu_layers"] == session.facts["layers"]
    assert "without cuDNN" in session.facts["attention"]
    session.check_sharing()
    along = np.array(scored(session, questions()))
    room = session.start_scoring(200)[1]
    assert room["attention"] == "FlashAttention over paths"
    assert room["fused"].startswith("norms, rotations, gates, by Triton ")
    assert np.abs(along - exact).mean() < SHARING_BOUND["bfloat16"]


def test_float32_on_a_gpu_keeps_its_masks_and_gives_the_same_answers(cache: Path, catalogue: Catalogue) -> None:
    made = make(cache, catalogue, ["source"])
    session = replace(RUNTIME, dtype_cuda="float32").open(made, "cuda")
    session.check_sharing()
    on_gpu, on_cpu = (np.array(scored(one, questions())) for one in (session, RUNTIME.open(made, "cpu")))
    assert session.start_scoring(200)[1]["attention"] == "masks"
    assert on_gpu == pytest.approx(on_cpu, abs=1e-3)
    assert (on_gpu.reshape(-1, 4).argmax(1) == on_cpu.reshape(-1, 4).argmax(1)).all()


def test_blocks_behind_masks_are_smaller_the_more_attention_holds_at_once(cache: Path, catalogue: Catalogue) -> None:
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    from bench.runtimes.block_size import block_tokens
    from tests.runtimes.test_path_attention import SIZE

    large = replace(RUNTIME, score_tokens_cuda=16384)
    made = make(cache, catalogue, ["source"])
    assert large.open(made, "cuda").start_scoring(200)[0].tokens == 16384
    assert replace(large, dtype_cuda="float32").open(made, "cuda").start_scoring(200)[0].tokens == 8192
    blocks = []
    for head in (16, 12):  # torch's memory-efficient attention does not take heads of 24 bytes
        shape: dict[str, Any] = {**SIZE, "hidden_size": 16 * head, "head_dim": head, "num_attention_heads": 16}
        model: Any = MistralForCausalLM(MistralConfig(**shape, num_key_value_heads=16))
        blocks.append(block_tokens(model.to(device="cuda", dtype=torch.bfloat16), True, 16384, 2000))
    assert blocks == [8192, 2048]


def test_a_sliding_window_is_heeded_along_paths_too(tmp_path: Path) -> None:
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    from bench.runtimes.torch_trunk import Trunk, choose_evaluation
    from tests.runtimes.test_path_attention import HEADS, SIZE, requests_that_fork, scores

    wide: dict[str, Any] = {**SIZE, "hidden_size": 64, "head_dim": 16}
    torch.manual_seed(0)
    model: Any = MistralForCausalLM(MistralConfig(**wide, **HEADS, sliding_window=8))
    model.to(device="cuda", dtype=torch.bfloat16).eval()
    forward = torch.inference_mode()(lambda *tokens, **options: model(*tokens, **options).logits)
    along = choose_evaluation(model, forward, 80, 0.1)
    assert along.attention is not None
    a, b = (scores(trunk, model, requests_that_fork()) for trunk in (Trunk(model, 80, along), Trunk(model, 80)))
    assert np.mean([abs(a[read] - b[read]) for read in a]) < 0.05


@pytest.mark.parametrize("steps", [["source"], ["source", "nf4"], ["source", "lora"]])
def test_a_graph_decodes_what_python_decodes(cache: Path, catalogue: Catalogue, steps: list[str]) -> None:
    from bench.runtimes.decoder import FromPython
    from bench.runtimes.decoding import BY_GRAPH

    session = RUNTIME.open(make(cache, catalogue, steps), "cuda")
    prompts = [[1, *range(20, 90)], [1, 30, 31], [1, *range(40, 60)]]
    replayed = [list(session.generate(prompt, 24)) for prompt in prompts]
    assert session.facts["decoding"] == BY_GRAPH
    session._decoder = FromPython(session._model, session._forward)
    launched = [list(session.generate(prompt, 24)) for prompt in prompts]
    # Both round to bfloat16 in another order: near ties may go another way, and what follows with them.
    assert sum(a[:4] == b[:4] for a, b in zip(replayed, launched, strict=True)) >= 2


def test_a_model_whose_step_waits_for_the_card_is_decoded_from_python_and_says_so(
    cache: Path, catalogue: Catalogue
) -> None:
    session = RUNTIME.open(make(cache, catalogue, ["source", "int8"]), "cuda")
    assert len(list(session.generate([1, 20, 30], 4))) == 4
    assert session.facts["decoding"].startswith(f"{FROM_PYTHON}: a token cannot be captured")
    session.check_sharing()  # the card is as usable as before


FAILS = """
import sys, torch
from variants.cache import Cache
from tests.runtimes.test_on_gpu import RUNTIME
from pathlib import Path

session = RUNTIME.open(Cache(Path(sys.argv[1])).open(sys.argv[2]), "cuda")
forward, before = session._forward, torch.cuda.current_stream()

def waits(*tokens, **options):
    logits = forward(*tokens, **options)
    if torch.cuda.is_current_stream_capturing():
        logits.sum().item()
    return logits

session._forward = waits
assert len(list(session.generate([1, 20, 30], 4))) == 4
assert torch.cuda.current_stream() == before
session.check_sharing()
print(session.facts["decoding"])
"""


def test_a_capture_that_fails_leaves_a_card_that_computes(cache: Path, catalogue: Catalogue) -> None:
    made = make(cache, catalogue, ["source"])
    command = [sys.executable, "-c", FAILS, str(cache), made.fingerprint]  # torch's allocator is left as it is then
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith(f"{FROM_PYTHON}: a token cannot be captured")


@pytest.mark.skipif(len(usable_gpus()) < 2, reason="needs two GPUs")
def test_layers_on_two_cards_score_as_on_one(tmp_path: Path) -> None:
    made = make(tmp_path / "cache", steps_of(make_tiny_model(tmp_path / "model", layers=8)), ["source"])
    one = RUNTIME.open(made, "cuda")
    two = replace(RUNTIME, split="layers").open(made, "cuda")
    assert len({parameter.device for parameter in two._model.parameters()}) == 2
    two.check_sharing()
    assert scored(two, questions()) == pytest.approx(scored(one, questions()), abs=0.1)
    assert list(two.generate([1, 20, 30], 4)) == list(one.generate([1, 20, 30], 4))
    assert two.facts["decoding"] == f"{FROM_PYTHON}: on several cards"


def test_norms_rotations_and_gates_round_as_the_models_own_code_does() -> None:
    import torch
    from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

    from bench.runtimes.on_gpu import kernels

    torch.manual_seed(0)

    def drawn(*shape: int) -> Any:
        return torch.randn(*shape).to("cuda", torch.bfloat16)

    def same(ours: Any, own: Any) -> float:
        return float((ours == own).float().mean())

    tokens, heads, angles, own = drawn(1, 64, 320), drawn(1, 4, 64, 80), drawn(1, 64, 80), LlamaRMSNorm(320)
    own.weight.data = drawn(320)
    assert same(kernels.norm(tokens, own.weight, own.variance_epsilon), own(tokens)) > 0.999
    turned = apply_rotary_pos_emb(heads, heads, angles.cos(), angles.sin())[0]
    assert same(kernels.rotated(heads, angles.cos(), angles.sin()), turned) > 0.999
    gate, up = drawn(1, 64, 640), drawn(1, 64, 640)
    assert same(kernels.gated(gate, up), torch.nn.functional.silu(gate) * up) > 0.999
