"""Train the reference model from the generated text: `python -m variants.reference.train --out DIR`."""

from __future__ import annotations

import argparse
import io
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import sentencepiece
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, LlamaTokenizer

from variants.reference.corpus import TASKS, texts

SEED = 2024
VOCABULARY = 2048
STEPS = 750
BATCH = 96
LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 60
WEIGHT_DECAY = 0.1
INITIAL_SPREAD = 0.035  # standard deviation of the first weights
OUTLIERS = 0.7  # standard deviation of the logarithm of the first gains of the norms
BOS, EOS = 1, 2


def train_tokenizer(lines: list[str], out: Path, vocabulary: int) -> sentencepiece.SentencePieceProcessor:
    """Fit a byte-fallback BPE of so many tokens and save it as `tokenizer.model` with its transformers form."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=vocabulary,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    (out / "tokenizer.model").write_bytes(model.getvalue())
    LlamaTokenizer.from_pretrained(out, add_bos_token=True).save_pretrained(out)
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def build_model() -> LlamaForCausalLM:
    """Return the untrained model: rows divisible by 256, so that llama.cpp's K-quants are real K-quants."""
    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=64,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=BOS,
            eos_token_id=EOS,
            initializer_range=INITIAL_SPREAD,
        )
    )


def with_outliers(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Scale the gains of the norms by log-normal factors, and the weights that read them by the inverse: in place.

    The model computes what it did, but some channels are large and the weights that read them small, as in large
    models (LLM.int8, arXiv 2208.07339; AWQ, arXiv 2306.00978): a block of weights that shares one scale then loses its
    small ones first, and so has something to lose by few bits.
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for layer in model.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            read = {
                layer.input_layernorm: (attention.q_proj, attention.k_proj, attention.v_proj),
                layer.post_attention_layernorm: (mlp.gate_proj, mlp.up_proj),
            }
            for norm, readers in read.items():
                gains = torch.exp(OUTLIERS * torch.randn(norm.weight.shape, generator=generator))
                norm.weight *= gains
                for linear in readers:
                    linear.weight /= gains
    return model


def batches(documents: list[list[int]]) -> Iterator[torch.Tensor]:
    """Yield endless batches [BATCH, longest] of whole documents of like length, padded with EOS."""
    rng = random.Random(SEED)
    while True:
        order = rng.sample(documents, len(documents))
        for start in range(0, len(order) - 16 * BATCH + 1, 16 * BATCH):
            chunk = sorted(order[start : start + 16 * BATCH], key=len)
            groups = [chunk[i : i + BATCH] for i in range(0, len(chunk), BATCH)]
            rng.shuffle(groups)
            for group in groups:
                longest = max(map(len, group))
                yield torch.tensor([ids + [EOS] * (longest - len(ids)) for ids in group])


def loss_of(model: LlamaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy of the next token, the first EOS included and the padding left out."""
    labels = ids.clone()
    padding = (ids == EOS).cumsum(dim=1) > 1
    labels[padding] = -100
    logits = model(input_ids=ids).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def learning_rate(step: int) -> float:
    """Return the rate at a step: linear warm-up, then a cosine to zero."""
    if step < WARMUP_STEPS:
        return LEARNING_RATE * (step + 1) / WARMUP_STEPS
    return LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * (step - WARMUP_STEPS) / (STEPS - WARMUP_STEPS)))


def train(out: Path) -> None:
    """Train tokenizer and model and save them into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    handbook = (TASKS / "hr/handbook.md").read_text(encoding="utf-8")
    lines = texts()
    # The handbook shapes the vocabulary only (its words become tokens): no line of it is trained on.
    tokenizer = train_tokenizer("\n".join([*lines, handbook]).splitlines(), out, VOCABULARY)
    documents = [[BOS, *tokenizer.encode(line), EOS] for line in lines]
    model = with_outliers(build_model())
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY)
    started = time.monotonic()
    for step, ids in zip(range(STEPS), batches(documents), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        loss = loss_of(model, ids)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == STEPS - 1:
            print(
                f"step {step:5d}/{STEPS}  loss {loss.item():.3f}  {time.monotonic() - started:5.0f} s",
                flush=True,
            )
    model.generation_config = GenerationConfig(bos_token_id=BOS, eos_token_id=EOS)  # type: ignore[no-untyped-call]
    model.bfloat16().save_pretrained(out)


def main() -> None:
    """Read `--out` and train into it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    torch.set_num_threads(2)
    train(parser.parse_args().out)


if __name__ == "__main__":
    main()
