"""Whether the weight files of a folder fit the architecture that its config.json names, and the formats asked for.

A tensor that is missing is drawn at random when a model is loaded, and one that is not expected is left out: either
way the numbers measured are not those of the model. All is known from headers and values, before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variants.errors import UserError
from variants.safety.files import read_json
from variants.storage.largest_weights import largest_weights
from variants.storage.tensors import FLOATS, Stored, stored
from variants.weights import weight_files

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

FLOAT16_MAX = 65504.0
NOTHING = 100
"""A level of logging above all others."""
SHOWN = 3
"""So many tensors are named in an error; the rest are counted."""
KINDS = {
    "missing_keys": "lacks {}, which would be drawn at random",
    "unexpected_keys": "has {}, which would be left out",
    "mismatched_keys": "has {} in another shape, which would be drawn at random",
}


def refuse_quantized(folder: Path) -> None:
    """Raise UserError for a model that is quantized already: its 16-bit weights are gone."""
    config = read_json(folder / "config.json")
    parts = [config, config.get("text_config")]
    configs = [part.get("quantization_config") for part in parts if isinstance(part, dict)]
    stated = next(filter(None, configs), None)
    method = stated.get("quant_method") if isinstance(stated, dict) else None
    packed = next((name for name, kind, _ in _headers(folder) if "weight" in name and kind not in FLOATS), None)
    if stated or packed or (folder / "hf_quant_config.json").is_file():
        reason = (
            f"config.json: {method or 'quantization_config'}"
            if stated
            else f"tensor {packed}"
            if packed
            else "hf_quant_config.json"
        )
        raise UserError(
            f"{folder}: this model is quantized already ({reason}); give the folder of its 16-bit weights, every "
            "variant is made from those"
        )


def refuse_misfit(folder: Path) -> None:
    """Raise UserError where the weight files are not what the architecture of config.json needs.

    The model is made without memory and loaded from the headers of the files, by transformers' own rules: tied
    weights are not missing, and keys that an architecture declares ignorable are not unexpected.
    """
    import torch

    model = without_weights(folder)
    with quiet(), refusals(folder):
        stored: dict[str, Tensor] = {}
        for name, kind, shape in _headers(folder):
            if name in stored:
                raise UserError(f"{folder}: {name} is in two of its weight files; fetch the folder again")
            stored[name] = torch.empty(shape, dtype=getattr(torch, FLOATS.get(kind, "uint8")), device="meta")
        loaded: Any = type(model).from_pretrained(
            None,
            config=model.config,
            state_dict=stored,
            device_map="meta",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    refuse_differences(folder, type(model).__name__, loaded[1])
    _refuse_untied(folder, model)


def refuse_differences(folder: Path, architecture: str, differences: Mapping[str, Any]) -> None:
    """Raise UserError for tensors that a load found missing, unexpected or of another shape."""
    parts = []
    for kind, text in KINDS.items():
        names = sorted(name[0] if isinstance(name, tuple) else name for name in differences[kind])
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            parts.append(text.format(", ".join(names[:SHOWN]) + more))
    if parts:
        raise UserError(
            f"{folder}: is not the {architecture} of its config.json: it {'; '.join(parts)}; fetch the folder again, "
            "or save the model with save_pretrained"
        )


def refuse_widths(folder: Path, multiple: int, cure: str) -> None:
    """Raise UserError for a linear layer, the output layer left out, whose outputs are no multiple of a number."""
    model = without_weights(folder)
    output: object = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    for name, module in model.named_modules():
        outputs = getattr(module, "out_features", getattr(module, "nf", None))  # a linear layer, or GPT-2's
        if module is not output and isinstance(outputs, int) and outputs % multiple:
            raise UserError(
                f"{folder}: {name} has {outputs} outputs, and bitsandbytes' 4-bit kernel for this CPU takes multiples "
                f"of {multiple}; {cure}"
            )


def refuse_infinite(folder: Path) -> None:
    """Raise UserError, naming the tensor, for a weight that is no finite number."""
    for file in _files(folder):
        for one in largest_weights(file):
            if not one.value < float("inf"):
                raise UserError(
                    f"{file}: {one.tensor} has a weight that is {one.value}, no finite number; fetch it again"
                )


def refuse_overflow(folder: Path, cure: str, least_dimensions: int = 1) -> None:
    """Raise UserError, naming the tensor, where float16 would make a weight infinite; `cure` says what to do.

    Tensors of fewer dimensions are not looked at.
    """
    for file in _files(folder):
        for one in largest_weights(file):
            if one.n_dimensions >= least_dimensions and not one.value <= FLOAT16_MAX:
                raise UserError(
                    f"{file}: {one.tensor} has a weight of {one.value:,.0f}, and float16 ends at {FLOAT16_MAX:,.0f}: "
                    f"it would become infinite; {cure}"
                )


def text_config(model: PreTrainedModel | PeftModel) -> PreTrainedConfig:
    """Return the configuration of a model's text part: that of a wrapper for text and images has it inside."""
    config: PreTrainedConfig = model.config.get_text_config()
    return config


LONGEST = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
"""What configurations call the number of tokens that a model was made for."""


def longest_text(config: PreTrainedConfig) -> int | None:
    """Return how many tokens a model was made for, None where its configuration states no limit."""
    return next(_limits(getattr(config, name, None) for name in LONGEST), None)


def longest_stated(folder: Path) -> int | None:
    """Return the largest number of tokens that a model's config.json says it takes; None where it says none.

    llama.cpp takes `model_max_length` where Cohere's models state two.
    """
    config = read_json(folder / "config.json")
    text = config.get("text_config")
    stated = text if isinstance(text, dict) else config
    return max(_limits(stated.get(name) for name in (*LONGEST, "model_max_length")), default=None)


def _limits(values: Iterable[object]) -> Iterator[int]:
    return (value for value in values if isinstance(value, int) and value > 0)


def stored_tensors(folder: Path) -> Iterator[tuple[Path, str, str, list[int]]]:
    """Yield file, name, type and shape of each stored tensor."""
    from safetensors import safe_open

    for path in _files(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                part = file.get_slice(name)
                yield path, name, part.get_dtype(), part.get_shape()


def without_weights(folder: Path) -> PreTrainedModel:
    """Make the model of config.json without memory for its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with quiet(), refusals(folder), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, trust_remote_code=False
        )
        return model


@contextmanager
def refusals(folder: Path) -> Iterator[None]:
    """Turn whatever transformers raises for a model that it cannot make into one line."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"{folder}: transformers cannot make this model: {reason.strip()}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from reporting on standard error what an error here says in one line."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(NOTHING)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _refuse_untied(folder: Path, model: PreTrainedModel) -> None:
    """Raise UserError where tensors that the configuration ties have values of their own.

    transformers then unties them with a warning, and a GGUF may hold either: two models under one name.
    """
    tensors = stored(folder)
    for one, other in model.all_tied_weights_keys.items():
        if one in tensors and other in tensors and not _are_equal(tensors[one], tensors[other]):
            raise UserError(
                f"{folder}: config.json ties {one} to {other}, but they differ; set tie_word_embeddings to false there"
            )


def _are_equal(one: Stored, other: Stored) -> bool:
    blocks = zip(one.rows(), other.rows(), strict=True)
    return (one.shape, one.type) == (other.shape, other.type) and all(bool((a == b).all()) for a, b in blocks)


def _headers(folder: Path) -> Iterator[tuple[str, str, list[int]]]:
    for _, name, kind, shape in stored_tensors(folder):
        yield name, kind, shape


def _files(folder: Path) -> list[Path]:
    return [file for file in weight_files(folder) if file.suffix == ".safetensors"]
