"""Triton kernels of a norm, a rotation and a gate. They round where transformers' own code rounds.

Triton comes with torch's CUDA builds and compiles a kernel at its first use on a machine, which takes a second; its own
cache keeps it.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
import triton.runtime
from torch import Tensor

GATE_NUMBERS = 4096
"""Numbers that one program of the gate reads."""


def start() -> None:
    """Have Triton open the driver, which compiles C code once on a machine: kernels that compile at once need it."""
    triton.runtime.driver.active.get_current_device()


def norm(tokens: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return RMSNorm (arXiv:1910.07467) of the last dimension, times `weight`; the mean is taken in 32 bits."""
    width = tokens.shape[-1]
    rows = tokens.reshape(-1, width).contiguous()
    made = torch.empty_like(rows)
    with torch.cuda.device(tokens.device):
        _norm[(len(rows),)](rows, weight, made, width, eps, block=triton.next_power_of_2(width), num_warps=8)
    return made.view(tokens.shape)


def rotated(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return heads (1, heads, tokens, size) rotated by their positions (arXiv:2104.09864), first half against second.

    `cos` and `sin` have the shape (1, tokens, size).
    """
    by_token = heads.transpose(1, 2).contiguous()
    made = torch.empty_like(by_token)
    _, n_tokens, n_heads, size = by_token.shape
    half = size // 2
    sizes = {"size": size, "half": half, "block": triton.next_power_of_2(half)}
    # A fused multiply-add would leave out the rounding of a product.
    built = {"num_warps": 1, "enable_fp_fusion": False}
    with torch.cuda.device(heads.device):
        _rotate[(n_tokens,)](by_token, cos.contiguous(), sin.contiguous(), made, n_heads, **sizes, **built)
    return made.transpose(1, 2)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """Return SiLU(gate) · up (arXiv:2002.05202)."""
    gate, up = gate.contiguous(), up.contiguous()
    made = torch.empty_like(gate)
    programs = triton.cdiv(gate.numel(), GATE_NUMBERS)
    with torch.cuda.device(gate.device):
        _gate[(programs,)](gate, up, made, gate.numel(), block=GATE_NUMBERS, num_warps=8)
    return made


@triton.jit
def _norm(tokens, weight, made, width, eps, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * width
    column = tl.arange(0, block)
    inside = column < width
    x = tl.load(tokens + row + column, mask=inside, other=0.0).to(tl.float32)
    scaled = (x * tl.rsqrt(tl.sum(x * x, 0) / width + eps)).to(made.dtype.element_ty).to(tl.float32)
    factor = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(made + row + column, (factor * scaled).to(made.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["n_heads"])  # queries, keys and the trial have other numbers of them: one kernel for all
def _rotate(heads, cos, sin, made, n_heads, size: tl.constexpr, half: tl.constexpr, block: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    kind = made.dtype.element_ty
    one = tl.arange(0, block)
    inside = one < half
    first, second = token * size + one, token * size + half + one
    cos_first = tl.load(cos + first, mask=inside).to(tl.float32)
    cos_second = tl.load(cos + second, mask=inside).to(tl.float32)
    sin_first = tl.load(sin + first, mask=inside).to(tl.float32)
    sin_second = tl.load(sin + second, mask=inside).to(tl.float32)
    for head in range(n_heads):
        start = (token * n_heads + head) * size
        a = tl.load(heads + start + one, mask=inside).to(tl.float32)
        b = tl.load(heads + start + half + one, mask=inside).to(tl.float32)
        turned_a = (a * cos_first).to(kind).to(tl.float32) - (b * sin_first).to(kind).to(tl.float32)
        turned_b = (b * cos_second).to(kind).to(tl.float32) + (a * sin_second).to(kind).to(tl.float32)
        tl.store(made + start + one, turned_a.to(kind), mask=inside)
        tl.store(made + start + half + one, turned_b.to(kind), mask=inside)


@triton.jit
def _gate(gate, up, made, n_numbers, block: tl.constexpr):
    one = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = one < n_numbers
    g = tl.load(gate + one, mask=inside).to(tl.float32)
    u = tl.load(up + one, mask=inside).to(tl.float32)
    opened = (g * tl.sigmoid(g)).to(made.dtype.element_ty).to(tl.float32)
    tl.store(made + one, (opened * u).to(made.dtype.element_ty), mask=inside)
