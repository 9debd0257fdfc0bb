"""Whether two forms of a model compute the same: log-probabilities of the same random tokens in both.

`python -m variants.steps.probe GGUF TOKENS.NPY LOGITS.NPY` evaluates a GGUF in a process of its own: torch and
llama.cpp are never in one (bench/scoring/lm_eval_process.py says why).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from variants.child import start
from variants.paths import ROOT
from variants.probing.float32 import open_in_float32
from variants.process import usable_cores
from variants.steps.llama_log import captured_log
from variants.steps.model_checks import longest_text, text_config

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

STDERR = 2
PROBE_TOKENS = 256
ROWS = 16
"""Rows of log-probabilities that are compared at once: at a vocabulary of 256 K all of them take 0.3 GB a copy."""
LARGEST_DIFFERENCE = 0.1
"""Nats, in the mean of all log-probabilities: rounding to 16 bits moves them by less, another formula by more.

A divergence weighs the likeliest tokens alone, and can miss a wrong scale where one token is nearly certain.
"""


def probe(model: PreTrainedModel | PeftModel, tokens: Tensor | None = None) -> Tensor:
    """Return log-probabilities (tokens, vocabulary) over some tokens, by default random ones."""
    import torch

    asked = (random_tokens(model) if tokens is None else tokens).to(model.device)
    with torch.no_grad():
        return torch.log_softmax(model(asked[None]).logits[0].float().cpu(), dim=-1)


def compare(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Return mean KL divergence (nats per token) of `after` from `before`, and the fraction of equal top tokens."""
    import torch

    rows = zip(torch.split(before, ROWS), torch.split(after, ROWS), strict=True)
    divergence = torch.cat([(one.exp() * (one - other)).sum(-1) for one, other in rows]).mean()
    same_top = (before.argmax(-1) == after.argmax(-1)).float().mean()
    return round(float(divergence), 6) + 0.0, round(float(same_top), 4)  # -0.0 + 0.0 is 0.0, and NaN stays


def compare_merge(before: Tensor, merged: Path) -> dict[str, object]:
    """Compare a merged model with the log-probabilities `before` of its adapter on the model that it was trained on."""
    divergence, same_top = compare(before, probe(open_in_float32(merged)))
    return {"merge_mean_kl": divergence, "merge_same_top_share": same_top, "probe_tokens": len(before)}


@dataclass(frozen=True)
class Probed:
    """What the model in a folder answers to the probe: tokens, and its log-probabilities (tokens, vocabulary)."""

    folder: Path
    tokens: Tensor
    log_probabilities: Tensor

    @classmethod
    def of(cls, folder: Path, tokens: Tensor | None = None) -> Self:
        """Have a model compute in 32 bits over some tokens, by default those of `probe`."""
        model = open_in_float32(folder)
        asked = random_tokens(model) if tokens is None else tokens
        return cls(folder, asked, probe(model, asked))


def compare_conversion(source: Probed, gguf: Path) -> tuple[dict[str, object], tuple[str, ...]]:
    """Compare what a GGUF answers in llama.cpp with the answer of its source in torch; return notes and warnings.

    A converter may leave a setting of an architecture out: the file then loads, runs, and is another model. Where the
    GGUF has fewer tokens than the configuration of its source says, both are asked those that both have. Raises
    RuntimeError, with llama.cpp's reason.
    """
    import torch

    tokens, after = _probe_gguf(gguf, source.tokens)
    if not torch.equal(tokens, source.tokens):
        source = Probed.of(source.folder, tokens)
    shared = min(source.log_probabilities.shape[1], after.shape[1])  # a GGUF may have the rows of its tokenizer alone
    before, after = (logits[:, :shared].log_softmax(-1) for logits in (source.log_probabilities, after))
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


def random_tokens(model: PreTrainedModel | PeftModel) -> Tensor:
    """Return random tokens of a model's vocabulary, the same each time."""
    import torch

    config = text_config(model)
    length = min(PROBE_TOKENS, longest_text(config) or PROBE_TOKENS)
    return torch.randint(0, config.vocab_size, (1, length), generator=torch.Generator().manual_seed(0))[0]


def _probe_gguf(gguf: Path, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tokens that a GGUF has in the place of those wanted, and its logits (tokens, vocabulary)."""
    import torch

    with tempfile.TemporaryDirectory(dir=gguf.parent) as scratch:
        tokens, logits = Path(scratch) / "tokens.npy", Path(scratch) / "logits.npy"
        np.save(tokens, wanted.numpy())
        command = [sys.executable, "-m", "variants.steps.probe", str(gguf), str(tokens), str(logits)]
        done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, **start(offline=True))
        os.write(STDERR, done.stderr)
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"the process that evaluates {gguf} died ({done.returncode})")
        return torch.from_numpy(np.load(tokens)), torch.from_numpy(np.load(logits))


def main(gguf: str, tokens_file: str, logits_file: str) -> None:
    """Evaluate the tokens of a file, or those that the GGUF has in their place; write back which, and their logits."""
    try:
        tokens, logits = _evaluated(Path(gguf), np.load(tokens_file))
    except RuntimeError as error:
        sys.exit(str(error))
    np.save(tokens_file, tokens)
    np.save(logits_file, logits)


def _evaluated(path: Path, wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    import llama_cpp

    length = len(wanted)
    model_params = llama_cpp.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model_params.use_extra_bufts = False  # else some processors have a copy of all weights in an order of their own
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
        n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        tokens = wanted % n_vocab
        batch = llama_cpp.llama_batch_init(length, 0, 1)
        batch.n_tokens = length
        for i, token in enumerate(tokens.tolist()):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, True
        code = llama_cpp.llama_decode(context, batch)
        if code != 0:
            raise RuntimeError(f"llama_decode returned {code} for the converted file: {log.reason}")
    pointer = ctypes.cast(llama_cpp.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
    logits = np.ctypeslib.as_array(pointer, (length, n_vocab)).copy()
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return tokens, logits


if __name__ == "__main__":
    main(*sys.argv[1:])
