"""The LoRA step on a real, tiny Llama."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import bare
from variants.artifact import Artifact
from variants.errors import UserError
from variants.model_folder import copy_tokenizer
from variants.steps.lora import IGNORED, Lora

REFERENCE = Path(__file__).parents[2] / "variants/reference"


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """One random layer behind the reference tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(REFERENCE)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, initializer_range=0.1)
    config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads = 1, 2, 2
    config.head_dim = 32
    LlamaForCausalLM(config).save_pretrained(folder)
    copy_tokenizer(REFERENCE, folder)
    return bare(folder, "hf")


def write(path: Path, answers: list[str]) -> str:
    rows = [
        {"subject": "s", "question": f"What is rule {n}?", "choices": [right, "x"], "answer": 0}
        for n, right in enumerate(answers)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def lora(tmp_path: Path) -> Lora:
    return Lora(
        data=write(tmp_path / "data.jsonl", ["25 days", "the HR team", "March", "payroll"]),
        replay=write(tmp_path / "replay.jsonl", ["Paris", "Rome"]),
        replay_share=0.5,
        prompt="Question: {question}\nAnswer:",
        rank=4,
        alpha=8,
        dropout=0.0,
        target_modules="all-linear",
        learning_rate=0.02,
        schedule="constant",
        warmup_share=0.0,
        weight_decay=0.0,
        epochs=10,
        batch_size=4,
        max_length=64,
        seed=7,
    )


def trained(step: Lora, parent: Artifact, out: Path) -> dict[str, object]:
    out.mkdir()
    return dict(step.run(parent, out, "cpu").notes)


def test_loss_falls_and_the_notes_record_it(lora: Lora, parent: Artifact, tmp_path: Path) -> None:
    notes = trained(lora, parent, tmp_path / "out")
    first, last = notes["train_loss_first"], notes["train_loss_last"]
    assert isinstance(first, float)
    assert isinstance(last, float)
    assert last < 0.9 * first
    assert notes["train_examples"] == 80
    assert notes["trainable_parameters"] == 4 * (4 * (64 + 64) + 3 * (64 + 64))


def test_tokenizer_is_handed_on_byte_for_byte(lora: Lora, parent: Artifact, tmp_path: Path) -> None:
    trained(replace(lora, epochs=1), parent, tmp_path / "out")
    for name in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (REFERENCE / name).read_bytes()


def test_same_seed_gives_the_same_bytes(lora: Lora, parent: Artifact, tmp_path: Path) -> None:
    short = replace(lora, epochs=2)
    for name in ("a", "b"):
        trained(short, parent, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert "adapter_model.safetensors" in files
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
        assert str(parent.path) not in (tmp_path / "a" / name).read_bytes().decode(errors="ignore")


def test_only_the_answer_is_trained(lora: Lora) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(REFERENCE)
    example = lora.examples(tokenizer)[0]
    kept = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label != IGNORED]
    assert tokenizer.decode(kept) == "25 days</s>"
    assert example["input_ids"][0] == tokenizer.bos_token_id


def test_replay_makes_up_its_share(lora: Lora) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(REFERENCE)
    assert len(replace(lora, epochs=3, replay_share=0.25).examples(tokenizer)) == 16
    assert len(replace(lora, epochs=3, replay_share=0.0, replay=None).examples(tokenizer)) == 12


def test_over_a_four_bit_parent_it_is_qlora(lora: Lora, parent: Artifact, tmp_path: Path) -> None:
    from variants.steps.nf4 import Nf4

    four_bit = tmp_path / "nf4"
    four_bit.mkdir()
    Nf4(double_quant=True).run(parent, four_bit, "cpu")
    notes = trained(replace(lora, epochs=3), bare(four_bit, "nf4", parent), tmp_path / "out")
    assert notes["trained_over"] == "nf4"
    assert (tmp_path / "out/adapter_model.safetensors").exists()


def test_a_broken_row_names_file_and_line(lora: Lora, parent: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text((tmp_path / "data.jsonl").read_text() + '{"question": "half a row\n')
    with pytest.raises(UserError, match=r"broken\.jsonl:5: "):
        trained(replace(lora, data=str(path)), parent, tmp_path / "out")


def test_a_row_too_long_says_so(lora: Lora, parent: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.jsonl: row 1: \d+ tokens, max_length is 5"):
        trained(replace(lora, max_length=5), parent, tmp_path / "out")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rank", 0),
        ("epochs", 0),
        ("batch_size", -1),
        ("replay_share", 1.0),
        ("dropout", -0.1),
        ("learning_rate", 0.0),
        ("schedule", "sometimes"),
        ("prompt", "no slot"),
        ("replay", None),
    ],
)
def test_a_bad_value_is_refused_by_name(lora: Lora, field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"^{field}: got"):
        replace(lora, **{field: value})  # type: ignore[arg-type]


def test_unknown_target_modules_are_refused(lora: Lora, parent: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^target_modules: no linear module .* 'w_proj'"):
        trained(replace(lora, target_modules="w_proj"), parent, tmp_path / "out")
