"""A parameter that is computed with in 32 bits and never held in them: the same numbers in the memory of a block.

To all that asks for its shape or type it is a tensor of 32 bits. Linear layers take blocks of its rows, tables of
tokens the rows that are looked up, all else the whole of it for one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional
from torch.utils._pytree import tree_map

from variants.storage.tensors import row_blocks

GiveBack = Callable[[torch.Tensor], None]
Function = Callable[..., object]
Arguments = tuple[object, ...]
Named = Mapping[str, object]


class Widened(torch.Tensor):
    """A tensor that is stored in any format; `give_back` is called with each part of it that was read."""

    stored: torch.Tensor
    give_back: GiveBack

    @staticmethod
    def __new__(cls, stored: torch.Tensor, give_back: GiveBack) -> Widened:
        """Make one that looks like the stored tensor in 32 bits."""
        made: Widened = torch.Tensor._make_wrapper_subclass(cls, stored.shape, dtype=torch.float32)
        made.stored, made.give_back = stored, give_back
        return made

    @classmethod
    def __torch_function__(
        cls, func: Function, types: Iterable[type], args: Arguments = (), kwargs: Named | None = None
    ) -> object:
        """Take part by part what layers of a large weight ask for."""
        in_parts = IN_PARTS.get(func)
        with torch._C.DisableTorchFunctionSubclass():
            weights = in_parts.weights(args) if in_parts else ()
            if in_parts and weights and all(isinstance(one, Widened) for one in weights):
                return in_parts.compute(*args, **kwargs or {})
            return func(*args, **kwargs or {})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch calls it on the class
        cls, func: Function, types: Iterable[type], args: Arguments = (), kwargs: Named | None = None
    ) -> object:
        """Compute anything else with the whole tensor in 32 bits."""
        if func is torch.ops.aten.detach.default and isinstance(args[0], Widened):
            return Widened(args[0].stored, args[0].give_back)
        return func(*tree_map(_whole, args), **tree_map(_whole, kwargs or {}))


def _whole(value: object) -> object:
    """Return a parameter in 32 bits, and anything else as it is."""
    if not isinstance(value, Widened):
        return value
    wide = value.stored.to(torch.float32, copy=True)
    value.give_back(value.stored)
    return wide


def _part(weight: Widened, index: int | slice | torch.Tensor) -> Widened:
    return Widened(weight.stored[index], weight.give_back)


def _linear(rows: torch.Tensor, weight: Widened, bias: torch.Tensor | None = None) -> torch.Tensor:
    n_outputs, width = weight.stored.shape
    if isinstance(bias, Widened):
        bias = bias.stored.float()
    result = rows.new_empty((*rows.shape[:-1], n_outputs))
    for first, last in row_blocks(n_outputs, width):
        block = weight.stored[first:last]
        part = None if bias is None else bias[first:last]
        result[..., first:last] = functional.linear(rows, block.float(), part)
        weight.give_back(block)
    return result


def _embedded(
    tokens: torch.Tensor, weight: Widened, padding_idx: int | None = None, *options: object, **named: object
) -> torch.Tensor:
    asked, places = torch.unique(tokens, return_inverse=True)
    table = weight.stored[asked].float()
    weight.give_back(weight.stored)
    return functional.embedding(places, table, None, *options, **named)  # type: ignore[arg-type]  # padding is of gradients alone


def _joined(join: Callable[..., torch.Tensor], parts: Sequence[Widened], dim: int = 0) -> Widened:
    """Join tensors as they are stored: transformers puts the experts of a mixture together while it opens a model."""
    joined = Widened(join([one.stored for one in parts], dim), parts[0].give_back)
    for one in parts:
        one.give_back(one.stored)
    return joined


def _listed(args: Arguments) -> Sequence[object]:
    return args[0] if args and isinstance(args[0], list | tuple) else ()


@dataclass(frozen=True)
class _InParts:
    """A function of torch that needs no whole weight in 32 bits: which arguments those are, and what computes it."""

    weights: Callable[[Arguments], Sequence[object]]
    compute: Function


IN_PARTS: dict[Function, _InParts] = {
    functional.linear: _InParts(lambda args: args[1:2], _linear),
    functional.embedding: _InParts(lambda args: args[1:2], _embedded),
    torch.Tensor.__getitem__: _InParts(lambda args: args[:1], _part),
    torch.stack: _InParts(_listed, partial(_joined, torch.stack)),
    torch.cat: _InParts(_listed, partial(_joined, torch.cat)),
}
