"""What one token reads: bytes of weights, and numbers of the cache for each token before it, from a GGUF's header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from variants.storage.gguf_file import stored_tensors

TABLE, OUTPUT = "token_embd.weight", "output.weight"
KEYS_AND_VALUES = re.compile(r"blk\.\d+\.attn_[kv]\.weight")
EXPERTS = "_exps."


@dataclass(frozen=True)
class TokenReads:
    """`weight_bytes` are read for every token, `kv_values` numbers of the cache for every token before it."""

    weight_bytes: int
    kv_values: int


def token_reads(gguf: Path) -> TokenReads | None:
    """Return what one token reads; None where the header does not say it: experts, or layers without plain attention.

    All weights are read once, but of the embedding table one row, unless the output layer is that table (tied): then
    it is read for the logits. A layer reads as many keys and values as its projections give.
    """
    tensors = {tensor.name: tensor for tensor in stored_tensors(gguf)}
    attention = [tensor for name, tensor in tensors.items() if KEYS_AND_VALUES.fullmatch(name)]
    if TABLE not in tensors or not attention or any(EXPERTS in name for name in tensors):
        return None
    n_bytes = sum(tensor.n_bytes for tensor in tensors.values())
    if OUTPUT in tensors:
        table = tensors[TABLE]
        n_bytes -= table.n_bytes - table.n_bytes // table.shape[1]
    return TokenReads(n_bytes, sum(tensor.shape[1] for tensor in attention))
