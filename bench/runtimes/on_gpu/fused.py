"""What a model computes between its matrix products, each in one pass over a GPU's memory, while texts are scored.

transformers reads and writes all tokens of a block about eight times for a norm, ten for a rotation of queries and keys
and five for a gate: on an H100, a quarter of a block's time. A part is replaced only where it gave the numbers of the
model's own code on this model, and only while a block is evaluated.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedModel

from bench.runtimes.on_gpu.path_attention import head_size

ROTATION = "apply_rotary_pos_emb"
"""What modeling files of transformers call the function that rotates queries and keys."""
CLOSE = 2**-6
"""How far a part may differ, of the largest of its numbers: two steps of bfloat16, in which sums are rounded once."""
TOKENS = 3
FAILED = "nothing: the kernels fail here, the log says why"

Forward = Callable[[Tensor], Tensor]
Rotation = Callable[..., tuple[Tensor, Tensor]]


class Kernels(Protocol):
    """What takes the place of the model's own code: the functions of kernels.py."""

    def norm(self, tokens: Tensor, weight: Tensor, eps: float) -> Tensor: ...

    def rotated(self, heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor: ...

    def gated(self, gate: Tensor, up: Tensor) -> Tensor: ...


def kernels() -> Kernels | None:
    """Return the kernels, None where there is no Triton to compile them."""
    if find_spec("triton") is None:
        return None
    from bench.runtimes.on_gpu import kernels

    kernels.start()
    return kernels


class Fused:
    """The parts of one model that are replaced. `parts` names them: norms, rotations, gates."""

    def __init__(self, model: PreTrainedModel, kernels: Kernels) -> None:
        """Try each kind of part on the model's device, all at once: the first use of a kernel compiles it."""
        with ThreadPoolExecutor(3) as pool:
            trying = [pool.submit(_replaceable, model, partial(part, kernels)) for part in (_norm, _gate)]
            rotations = pool.submit(lambda: list(_rotations(model, kernels)))
        norms, gates = (one.result() for one in trying)
        self._rotations = rotations.result()
        self._forwards = [*norms, *gates]
        named = {"norms": norms, "rotations": self._rotations, "gates": gates}
        self.parts = tuple(name for name, some in named.items() if some)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the model compute its replaced parts so; afterwards it has its own code again."""
        own = [(file, getattr(file, ROTATION)) for file, _ in self._rotations]
        try:
            for module, forward in self._forwards:
                module.forward = forward
            for file, rotated in self._rotations:
                setattr(file, ROTATION, rotated)
            yield
        finally:
            for module, _ in self._forwards:
                vars(module).pop("forward", None)
            for file, rotate in own:
                setattr(file, ROTATION, rotate)


def fuse(model: PreTrainedModel) -> tuple[Fused | None, str]:
    """Return what takes the place of parts of a model on a GPU, and in words which parts, or why none."""
    try:
        one_pass = kernels()
        if one_pass is None:
            return None, "nothing: no Triton here"
        fused = Fused(model, one_pass)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton needs a C compiler, Python's headers and a home: without them it still scores
        logging.getLogger(__name__).warning("scoring is slower: the kernels of %s fail here: %s", __name__, error)
        return None, FAILED  # scores are kept by this text, and that of the error may be another each time
    if not fused.parts:
        return None, "nothing: no part gave the model's own numbers"
    return fused, f"{', '.join(fused.parts)}, by Triton {version('triton')}"


def _replaceable(
    model: PreTrainedModel, part: Callable[[Module], tuple[int, Forward] | None]
) -> list[tuple[Module, Forward]]:
    """Return the modules for which `part` has another forward function, if one of their class gives its own numbers."""
    replaceable: list[tuple[Module, Forward]] = []
    agree: dict[type[Module], bool] = {}
    for module in model.modules():
        if "forward" in vars(module) or len(inspect.signature(module.forward).parameters) != 1:
            continue  # a hook of accelerate's has to run, or it asks for more than tokens
        if (made := part(module)) is not None:
            width, forward = made
            kind = type(module)
            if kind not in agree:
                agree[kind] = _agrees(module, forward, _drawn(model, TOKENS, width, module=module))
            if agree[kind]:
                replaceable.append((module, forward))
    return replaceable


def _norm(kernels: Kernels, module: Module) -> tuple[int, Forward] | None:
    """Return a norm's width and its forward function in one pass; None where this is no RMSNorm."""
    weight = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or not isinstance(weight, Tensor) or not isinstance(eps, float):
        return None
    return weight.numel(), partial(kernels.norm, weight=weight, eps=eps)


def _gate(kernels: Kernels, module: Module) -> tuple[int, Forward] | None:
    """Return a gated layer's width and its forward function; None where this is none, or its gate is no SiLU."""
    gate, up, down = (getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj"))
    activation = type(getattr(module, "act_fn", None)).__name__
    if not isinstance(gate, Module) or not isinstance(up, Module) or not isinstance(down, Module):
        return None
    width = getattr(gate, "in_features", None)
    if activation not in ("SiLU", "SiLUActivation") or not isinstance(width, int):
        return None

    def forward(tokens: Tensor) -> Tensor:
        result: Tensor = down(kernels.gated(gate(tokens), up(tokens)))
        return result

    return width, forward


def _rotations(model: PreTrainedModel, kernels: Kernels) -> Iterator[tuple[ModuleType, Rotation]]:
    """Yield the modeling files whose rotation is that of Llama, and what takes its place."""
    config = model.config.get_text_config()
    head = head_size(config)
    query, key = (_drawn(model, heads, TOKENS, head) for heads in (2, 1))
    cos, sin = (_drawn(model, TOKENS, head) for _ in range(2))
    for file in {sys.modules[type(module).__module__] for module in model.modules()}:
        own = getattr(file, ROTATION, None)
        if not inspect.isfunction(own) or list(inspect.signature(own).parameters)[:4] != ["q", "k", "cos", "sin"]:
            continue
        rotated = partial(_rotated, kernels, own)
        if all(map(_close, rotated(query, key, cos, sin), own(query, key, cos, sin))):
            yield file, rotated


def _rotated(
    kernels: Kernels, own: Rotation, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *more: object, **named: object
) -> tuple[Tensor, Tensor]:
    """Rotate queries and keys (1, heads, tokens, head size); all that is not the usual call goes to `own`."""
    if more or named or q.shape[0] != 1 or cos.shape != (1, q.shape[2], q.shape[3]):
        return own(q, k, cos, sin, *more, **named)
    return kernels.rotated(q, cos, sin), kernels.rotated(k, cos, sin)


def _drawn(model: PreTrainedModel, *shape: int, module: Module | None = None) -> Tensor:
    """Return numbers of the model's type, the same each time, where a module's parameters lie."""
    device = next((p.device for p in module.parameters()), model.device) if module else model.device
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randn(1, *shape, generator=generator).to(device, model.dtype)


def _agrees(module: Module, forward: Forward, tokens: Tensor) -> bool:
    with torch.inference_mode():
        return _close(forward(tokens), module(tokens))


def _close(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    return bool((ours.float() - theirs.float()).abs().max() <= CLOSE * theirs.float().abs().max())
