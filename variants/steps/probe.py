"""Whether two forms of a model compute the same: log-probabilities of the same random tokens in both."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING

from variants.load import load_model
from variants.process import available_bytes, usable_cores
from variants.steps.llama_log import captured_log
from variants.steps.model_checks import longest_text, text_config

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

PROBE_TOKENS = 256
LARGEST_DIFFERENCE = 0.1
"""Nats, in the mean of all log-probabilities: rounding to 16 bits moves them by less, another formula by more.

A divergence weighs the likeliest tokens alone, and can miss a wrong scale where one token is nearly certain.
"""
BYTES_PER_PARAMETER = 6
"""A model in 32 bits, and its file in 16 beside it."""


def probe(model: PreTrainedModel | PeftModel) -> Tensor:
    """Return log-probabilities (tokens, vocabulary) over a fixed, seeded sequence of random tokens."""
    import torch

    tokens = _tokens(model).to(model.device)
    with torch.inference_mode():
        return torch.log_softmax(model(tokens).logits[0].float().cpu(), dim=-1)


def compare(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Return mean KL divergence (nats per token) of `after` from `before`, and the fraction of equal top tokens."""
    divergence = (before.exp() * (before - after)).sum(-1).mean()
    return round(float(divergence), 6), round(float((before.argmax(-1) == after.argmax(-1)).float().mean()), 4)


def compare_conversion(folder: Path, gguf: Path, n_parameters: int) -> tuple[dict[str, object], tuple[str, ...]]:
    """Compare a GGUF in llama.cpp with its source in torch, both on the CPU; return notes and warnings.

    A converter may leave a setting of an architecture out: the file then loads, runs, and is another model.
    """
    needed_bytes = BYTES_PER_PARAMETER * n_parameters
    if needed_bytes > available_bytes():
        return {}, (f"not compared with its source in torch: that takes {needed_bytes / 1e9:,.0f} GB of memory",)
    model = load_model(folder, "float32", "cpu").eval()
    before = probe(model)
    tokens: list[int] = _tokens(model)[0].tolist()
    del model
    after = _probe_gguf(gguf, tokens)
    shared = min(before.shape[1], after.shape[1])  # a GGUF may have the rows of its tokenizer alone
    before, after = (logits[:, :shared].log_softmax(-1) for logits in (before, after))
    divergence, same_top = compare(before, after)
    difference = round(float((before - after).abs().mean()), 6)
    notes: dict[str, object] = {
        "source_mean_difference": difference,
        "source_mean_kl": divergence,
        "source_same_top_share": same_top,
        "probe_tokens": len(tokens),
    }
    if difference <= LARGEST_DIFFERENCE:
        return notes, ()
    return notes, (
        f"llama.cpp computes another model than torch does from the same weights: over {len(tokens)} random tokens the "
        f"log-probabilities differ by {difference:.3g} nats in the mean; variants/README.md has the models tried",
    )


def _tokens(model: PreTrainedModel | PeftModel) -> Tensor:
    import torch

    config = text_config(model)
    length = min(PROBE_TOKENS, longest_text(config) or PROBE_TOKENS)
    return torch.randint(0, config.vocab_size, (1, length), generator=torch.Generator().manual_seed(0))


def _probe_gguf(path: Path, tokens: list[int]) -> Tensor:
    """Return the logits (tokens, vocabulary) of a GGUF. Raises RuntimeError, with llama.cpp's reason."""
    import llama_cpp
    import numpy as np
    import torch

    length = len(tokens)
    model_params = llama_cpp.llama_model_default_params()
    model_params.n_gpu_layers = 0
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = length
    params.n_threads = params.n_threads_batch = usable_cores()
    params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
    params.flash_attn_type = 0
    params.offload_kqv = params.op_offload = False
    with captured_log() as log:
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_params)
        context = llama_cpp.llama_init_from_model(model, params) if model else None
        if not context:
            raise RuntimeError(f"llama.cpp cannot use the converted file: {log.reason}")
        batch = llama_cpp.llama_batch_init(length, 0, 1)
        batch.n_tokens = length
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, True
        code = llama_cpp.llama_decode(context, batch)
        if code != 0:
            raise RuntimeError(f"llama_decode returned {code} for the converted file: {log.reason}")
    n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    pointer = ctypes.cast(llama_cpp.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
    logits = torch.from_numpy(np.ctypeslib.as_array(pointer, (length, n_vocab)).copy())
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return logits
