"""Tiny folders of common architectures, random weights, each with a small tokenizer of its family's own kind.

`python -m tests.hostile.architectures OUT` makes them all; tests/hostile/matrix.py runs variants of each.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from variants.paths import ROOT

HANDBOOK = ROOT / "bench" / "tasks" / "hr" / "handbook.md"
VOCABULARY, TRAINED_TOKENS = 640, 632
"""Rows of a model, and tokens that are trained: some tokenizers add special tokens behind theirs."""
WIDTHS: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
}
"""Rows of 256 and 512, so that K-quants are K-quants; few layers, and weights large enough to tell tokens apart."""
GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = GPT4.replace(r"\p{N}{1,3}", r"\p{N}")


@dataclass(frozen=True)
class Architecture:
    """A model type of transformers, what its configuration adds to WIDTHS, and how its tokenizer is made."""

    model_type: str
    tokenizer: Callable[[Path], None]
    fields: dict[str, Any]


def byte_level(end: str, pattern: str | None = None, kind: str = "PreTrainedTokenizerFast") -> Callable[[Path], None]:
    """Return a maker of a byte-level BPE that splits texts by `pattern`, as GPT-2 does where there is none."""

    def make(folder: Path) -> None:
        import transformers
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        if pattern:
            split = pre_tokenizers.Split(Regex(pattern), "isolated")
            levels = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence(levels)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=TRAINED_TOKENS, initial_alphabet=alphabet, special_tokens=[end], show_progress=False
        )
        tokenizer.train([str(HANDBOOK)], trainer)
        cls = getattr(transformers, kind)
        cls(tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end).save_pretrained(folder)

    return make


def sentencepiece(kind: str, starts: str, ends: str, **flags: Any) -> Callable[[Path], None]:
    """Return a maker of a byte-fallback BPE as `tokenizer.model` and in its transformers form."""

    def make(folder: Path) -> None:
        import sentencepiece
        import transformers

        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(HANDBOOK.read_text().splitlines()),
            model_writer=model,
            model_type="bpe",
            vocab_size=TRAINED_TOKENS,
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            bos_piece=starts,
            eos_piece=ends,
            minloglevel=2,
            **flags,
        )
        (folder / "tokenizer.model").write_bytes(model.getvalue())
        getattr(transformers, kind).from_pretrained(folder, add_bos_token=True).save_pretrained(folder)

    return make


def llama(folder: Path) -> None:
    """Make the tokenizer that Llama 2, Mistral and Phi-3 have."""
    sentencepiece("LlamaTokenizer", "<s>", "</s>")(folder)


def gemma(folder: Path) -> None:
    """Make the tokenizer that Gemma has: padding first, and no space in front of a text."""
    flags = {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "add_dummy_prefix": False}
    sentencepiece("GemmaTokenizer", "<bos>", "<eos>", **flags)(folder)


NEOX = byte_level("<|endoftext|>", kind="GPTNeoXTokenizer")
ENDS = {"bos_token_id": 0, "eos_token_id": 0}
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
GEMMA = {
    "head_dim": 64,
    "query_pre_attn_scalar": 64,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "sliding_window": 128,
}
ARCHITECTURES: dict[str, Architecture] = {
    "gpt2": Architecture("gpt2", byte_level("<|endoftext|>", kind="GPT2Tokenizer"), {"n_ctx": 512, **ENDS}),
    "qwen2": Architecture("qwen2", byte_level("<|endoftext|>", QWEN, "Qwen2Tokenizer"), ENDS),
    "qwen3": Architecture("qwen3", byte_level("<|endoftext|>", QWEN, "Qwen2Tokenizer"), {"head_dim": 64, **ENDS}),
    "gemma2": Architecture("gemma2", gemma, GEMMA),
    "gemma3": Architecture("gemma3_text", gemma, GEMMA),
    "phi3": Architecture("phi3", llama, {**SPECIAL, "original_max_position_embeddings": 512}),
    "mistral": Architecture("mistral", llama, {**SPECIAL, "sliding_window": None}),
    "mixtral": Architecture("mixtral", llama, {**SPECIAL, "num_local_experts": 4}),
    "gpt-neox": Architecture("gpt_neox", NEOX, ENDS),
    "olmo2": Architecture("olmo2", byte_level("<|endoftext|>", GPT4), {**ENDS, "pad_token_id": None}),
    "stablelm": Architecture("stablelm", NEOX, ENDS),
}


def make_folder(name: str, folder: Path) -> Path:
    """Write the model `name` of ARCHITECTURES into a new folder, in bfloat16, and return the folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = ARCHITECTURES[name]
    folder.mkdir(parents=True)
    kind.tokenizer(folder)
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind.model_type, **{**WIDTHS, **kind.fields})
    model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.bfloat16().save_pretrained(folder)
    return folder


if __name__ == "__main__":
    for each in ARCHITECTURES:
        print(make_folder(each, Path(sys.argv[1]) / each))
