"""Merge with peft, the whole model in memory in 32 bits: for adapters on parameters that the files hold in pieces."""

from __future__ import annotations

from math import prod
from pathlib import Path

from variants.errors import UserError
from variants.load import load_model
from variants.merging.merge import Merged
from variants.merging.unmerged import weights
from variants.process import available_bytes
from variants.step import LIBRARY_BYTES


def merge_in_memory(adapter: Path, onto: Path, out: Path, *, packed: bool) -> Merged:
    """Merge an adapter onto the model in a folder, unpacked first if it is `packed` in NF4, and save it as bfloat16.

    Raises UserError where the model in 32 bits takes more memory than there is.
    """
    import torch
    from peft import PeftModel

    needed, available = LIBRARY_BYTES + 4 * _n_parameters(onto), available_bytes()
    if needed > available:
        raise UserError(
            f"{adapter}: it changes experts, which merging holds in memory: that takes {needed / 1e9:,.1f} GB and "
            f"{available / 1e9:,.1f} are free; free some, or set steps.lora.target_modules to layers of attention"
        )
    base = load_model(onto, "float32", "cpu")
    if packed:
        base = base.dequantize()
    merged = PeftModel.from_pretrained(base.float(), adapter).merge_and_unload()
    if hasattr(merged.config, "quantization_config"):
        del merged.config.quantization_config
    merged.to(torch.bfloat16).save_pretrained(out)
    return Merged({}, "bfloat16", ())


def _n_parameters(folder: Path) -> int:
    return sum(prod(weight.shape) for weight in weights(folder).values())
