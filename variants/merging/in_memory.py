"""Merge with peft, the whole model in memory in 32 bits: for adapters on parameters that the files hold in pieces."""

from __future__ import annotations

from pathlib import Path

from variants.load import load_model
from variants.merging.merge import Merged


def merge_in_memory(adapter: Path, onto: Path, out: Path, *, packed: bool) -> Merged:
    """Merge an adapter onto the model in a folder, unpacked first if it is `packed` in NF4, and save it as bfloat16."""
    import torch
    from peft import PeftModel

    base = load_model(onto, "float32", "cpu")
    if packed:
        base = base.dequantize()
    merged = PeftModel.from_pretrained(base.float(), adapter).merge_and_unload()
    if hasattr(merged.config, "quantization_config"):
        del merged.config.quantization_config
    merged.to(torch.bfloat16).save_pretrained(out)
    return Merged({}, "bfloat16", ())
