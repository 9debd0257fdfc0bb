"""Load a model from a folder, in the number format that the caller computes in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variants.safety.code import fetch_no_kernels
from variants.steps.model_checks import refuse_differences, refuse_overflow, without_weights
from variants.weights import histogram, tensors

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig
    from transformers.utils.quantization_config import QuantizationConfigMixin


def load_model(
    path: Path,
    dtype: str,
    device: str,
    quantization: QuantizationConfigMixin | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Any:
    """Return the causal language model in `path` on `device`, its 16-bit parameters in `dtype`.

    `quantization` is a transformers quantization config to apply while loading. `weights` are the tensors of the files
    by name, where the caller has opened them: those of `dtype` are not copied. transformers leaves the parameters
    of a bitsandbytes checkpoint as they are stored, whatever dtype is asked for, and refuses `model.float()`.
    Raises UserError where files and architecture do not have the same tensors, or float16 cannot hold a weight.
    """
    fetch_no_kernels()
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if dtype == "float16" and weights is None:
        refuse_overflow(path, "compute in bfloat16 or float32")
    logging.getLogger("bitsandbytes.autograd._functions").addFilter(_is_news)
    # cuDNN's attention makes a plan for every new shape (23 to 400 ms, pytorch #191576), is wrong with masks of another
    # dtype (#191612) and with few key heads (#193893), and gives gradients of NaN at some lengths (#196678).
    torch.backends.cuda.enable_cudnn_sdp(False)
    wanted = getattr(torch, dtype)
    caps = caps_attention(AutoConfig.from_pretrained(path, trust_remote_code=False))
    options: dict[str, object] = {"attn_implementation": "eager"} if caps else {}
    if quantization is not None:  # given as None, it would hide the checkpoint's own
        options["quantization_config"] = quantization
    opens: Callable[..., object] = AutoModelForCausalLM.from_pretrained
    if weights is not None:
        empty = without_weights(path)
        opens = type(empty).from_pretrained
        options |= {"config": empty.config, "state_dict": weights}
    loaded: Any = opens(
        path if weights is None else None,
        dtype=wanted,
        device_map=device,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    model, differences = loaded
    refuse_differences(path, type(model).__name__, differences)
    for parameter in model.parameters():
        if parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.to(wanted)
    return model


def caps_attention(config: PreTrainedConfig) -> bool:
    """Say whether a model caps its attention's logits (Gemma 2), which torch's fused attention cannot.

    transformers 5.17 takes it all the same and computes without the cap; 5.23 does not.
    """
    return getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None


def sixteen_bit(counts: Mapping[str, int], other: str = "float16") -> str:
    """Return the 16-bit format that most of a model is stored in, `other` where that is neither.

    bfloat16 has 8 bits of precision: rounding other weights to it costs about as much as half a step of an 8-bit one.
    float16 ends at 65,504.
    """
    half = sum(counts.values()) / 2
    if counts.get("BF16", 0) >= half:
        return "bfloat16"
    return "float16" if counts.get("F16", 0) > half else other


def refuse_packing(folder: Path) -> None:
    """Raise UserError where a weight would be infinite before bitsandbytes packs it: float16 keeps most of a model."""
    if sixteen_bit(histogram(tensors(folder))) == "float16":
        refuse_overflow(folder, "it is packed from float16; save the model in bfloat16")


def _is_news(record: logging.LogRecord) -> bool:
    # LLM.int8 quantizes activations from float16, and says so in every layer of every call.
    return "inputs will be cast from" not in record.getMessage()
