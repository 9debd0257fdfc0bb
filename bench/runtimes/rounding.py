"""In which number formats a transformers model multiplies, and how far rounding alone may move its results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from variants.artifact import Kind

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHARING_BOUND = {"float32": 1e-3, "bfloat16": 0.1, "float16": 0.02, "int8": 0.02}
"""The mean difference of log-probabilities, in nats, that the order of additions alone can make, by number format.

A model computes in one format and multiplies packed weights in another: the larger of the two bounds counts.
"""


def multiplies_in(model: PreTrainedModel, kind: Kind, dtype: str, device: str) -> str:
    """Return the number format of a model's matrix products, which for packed weights is not always `dtype`."""
    if kind == "int8":
        return "int8"
    if kind != "nf4":
        return dtype
    from bitsandbytes.functional import has_avx512bf16

    if device == "cpu" and has_avx512bf16():  # type: ignore[no-untyped-call]
        return "bfloat16"  # the only format of bitsandbytes' kernel for such a CPU, whatever the configuration says
    return str(model.config.quantization_config.bnb_4bit_compute_dtype).removeprefix("torch.")


@contextmanager
def without_outliers(model: PreTrainedModel) -> Iterator[None]:
    """Let LLM.int8 layers multiply all columns in 8 bits for a while.

    They pick the columns that stay in 16 bits for all tokens of one evaluation together, so that what else is evaluated
    moves every result. Whether a model heeds its masks does not depend on it.
    """
    states: list[Any] = [layer.state for layer in model.modules() if hasattr(layer, "state")]
    thresholds = [state.threshold for state in states]
    try:
        for state in states:
            state.threshold = 0.0
        yield
    finally:
        for state, threshold in zip(states, thresholds, strict=True):
            state.threshold = threshold
