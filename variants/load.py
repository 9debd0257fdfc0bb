"""Load a model from a folder, in the number format that the caller computes in."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any


def load_model(path: Path, dtype: str, device: str, quantization: Any = None) -> Any:
    """Return the causal language model in `path` on `device`, its 16-bit parameters in `dtype`.

    `quantization` is a transformers quantization config to apply while loading. transformers leaves the parameters
    of a bitsandbytes checkpoint as they are stored, whatever dtype is asked for, and refuses `model.float()`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    # LLM.int8 quantizes activations from float16, and says so in every layer of every call.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    wanted = getattr(torch, dtype)
    config = (
        {} if quantization is None else {"quantization_config": quantization}
    )  # None would hide the checkpoint's own
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=wanted, device_map=device, **config)
    for parameter in model.parameters():
        if parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.to(wanted)
    return model
