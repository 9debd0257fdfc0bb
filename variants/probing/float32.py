"""Open a model to compute with it in 32 bits, with no more of it in memory than what computes.

Its weights are views of their files. Each is widened to 32 bits while it is used: the same numbers as those of a model
that is in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from variants.load import load_model
from variants.merging.names import Names
from variants.process import available_bytes
from variants.step import LIBRARY_BYTES, largest_tensor
from variants.steps.model_checks import without_weights
from variants.storage.mapped import MappedWeights
from variants.storage.tensors import stored
from variants.weights import NF4_SCALES

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def expected_memory_bytes(n_parameters: int) -> int:
    """Return about the memory that a model takes here whose parameters are tensors of its files."""
    return LIBRARY_BYTES + 2 * largest_tensor(n_parameters)


def too_large(folders: Sequence[Path], others_bytes: int = 0) -> str | None:
    """Return why models cannot be opened one after another beside what takes `others_bytes`, None where they can."""
    needed, available = max(map(_needed_bytes, folders)) + others_bytes, available_bytes()
    if needed <= available:
        return None
    return f"that takes {needed / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} are free"


def _needed_bytes(folder: Path) -> int:
    """Return the memory that a model takes: transformers copies parameters that it puts together from pieces."""
    tensors = stored(folder)
    in_files = set(Names.of(without_weights(folder), tensors).in_files.values())
    pieces = sum(one.size_bytes for name, one in tensors.items() if name not in in_files)
    return LIBRARY_BYTES + pieces + max(one.size_bytes for one in tensors.values())


def open_in_float32(folder: Path, adapter: Path | None = None) -> PreTrainedModel | PeftModel:
    """Return the model in a folder, with an adapter where one is named, on the CPU: it computes in 32 bits."""
    from variants.probing.widened import Widened

    mapped = MappedWeights(folder)
    weights = {
        name: Widened(tensor, mapped.give_back)
        if tensor.is_floating_point() and not name.endswith(NF4_SCALES)
        else tensor
        for name, tensor in mapped.tensors.items()
    }
    model: PreTrainedModel | PeftModel = load_model(folder, "float32", "cpu", weights=weights)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):  # bitsandbytes would keep a copy in an order of its own
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
            module.register_forward_hook(lambda layer, *_: mapped.give_back(layer.weight))
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    return model
