"""Open a model to compute with it in 32 bits, with no more of it in memory than what computes.

Its weights are views of their files. Each is widened to 32 bits while it is used: the same numbers as those of a model
that is in memory as a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variants.load import load_model
from variants.merging.names import Names
from variants.process import available_bytes
from variants.step import LIBRARY_BYTES, largest_tensor
from variants.steps.model_checks import without_weights
from variants.storage.mapped import MappedWeights
from variants.storage.tensors import FLOATS, Stored, stored
from variants.weights import NF4_SCALES

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def expected_memory_bytes(n_parameters: int) -> int:
    """Return about the memory that a model takes here whose parameters are tensors of its files."""
    return LIBRARY_BYTES + 2 * largest_tensor(n_parameters)


def too_large(folders: Sequence[Path]) -> str | None:
    """Return why models cannot be opened here one after another, None where they can."""
    needed, available = max(_needed_bytes(folder) for folder in folders), available_bytes()
    if needed <= available:
        return None
    return f"that takes {needed / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} are free"


def _needed_bytes(folder: Path) -> int:
    """Return the memory that a model takes: transformers copies parameters that it puts together from pieces."""
    tensors = stored(folder)
    in_files = set(Names.of(without_weights(folder), tensors).in_files.values())
    pieces = sum(one.size_bytes for name, one in tensors.items() if name not in in_files)
    return LIBRARY_BYTES + pieces + max(one.size_bytes for one in tensors.values())


def open_in_float32(folder: Path, adapter: Path | None = None) -> Any:
    """Return the model in a folder, with an adapter where one is named, on the CPU: it computes in 32 bits."""
    tensors, mapped = stored(folder), MappedWeights(folder)
    held = _most(tensors)
    model = load_model(folder, held, "cpu", weights=mapped.tensors)
    _keep_as_stored(model, tensors, mapped, held)
    _widen(model, mapped)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    return model.eval()


def _most(tensors: dict[str, Stored]) -> str:
    """Return the format of most weights: none of them is copied to be opened."""
    counts = Counter({"BF16": 0})
    for name, one in tensors.items():
        if one.type in FLOATS and not name.endswith(NF4_SCALES):
            counts[one.type] += prod(one.shape)
    return FLOATS[counts.most_common(1)[0][0]]


def _keep_as_stored(model: PreTrainedModel, tensors: dict[str, Stored], mapped: MappedWeights, held: str) -> None:
    """Give a model those weights as they are stored that opening it has rounded, such as gains of norms in 32 bits."""
    parameters = dict(model.named_parameters())
    for parameter, name in Names.of(model, tensors).in_files.items():
        if parameter in parameters and FLOATS.get(tensors[name].type, held) != held:
            parameters[parameter].data = mapped.tensors[name]


def _widen(model: PreTrainedModel, mapped: MappedWeights) -> None:
    """Have a model compute with its weights in 32 bits, and give back those that it has computed with."""
    from variants.probing.widened import Widened

    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_floating_point():
                module._parameters[name] = Widened(parameter.data, mapped.give_back)  # type: ignore[assignment]
        if hasattr(module, "support_avx512bf16_for_cpu"):  # bitsandbytes would keep a copy in an order of its own
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
            module.register_forward_hook(lambda layer, *_: mapped.give_back(layer.weight))
