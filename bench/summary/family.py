"""What kind of variant a list of steps is, and the one colour and mark each kind has everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """A kind of variant; `marker` is matplotlib's, so that colour is never the only sign."""

    name: str
    colour: str
    marker: str


# Okabe and Ito's colours, told apart with every common colour-vision deficiency.
BASE = Family("base", "#000000", "o")
QUANTIZED = Family("quantized", "#0072B2", "s")
FINETUNED = Family("fine-tuned", "#E69F00", "^")
BOTH = Family("fine-tuned + quantized", "#009E73", "D")
QLORA = Family("QLoRA", "#CC79A7", "P")
CONTROL = Family("control", "#8A8A8A", "X")
FAMILIES = (BASE, QUANTIZED, FINETUNED, BOTH, QLORA, CONTROL)

NATIVE_RUNTIME = "llamacpp"
_QUANTIZES = re.compile(r"quantize|nf4|fp4|int8|int4|gptq|awq|^i?q\d")
_FINETUNES = re.compile(r"lora|fine_?tune|sft|train")


def step_role(name: str, fields: Mapping[str, Any]) -> str:
    """Return what a step does, by its class or else its name: finetune, quantize, convert, or other."""
    said = str(fields.get("_target_", "")).lower() or name.lower()
    for text in (said.rpartition(".")[2], said, name.lower()):
        if _FINETUNES.search(text):
            return "finetune"
        if _QUANTIZES.search(text):
            return "quantize"
        if "gguf" in text or "convert" in text:
            return "convert"
    return "other"


def roles(config: Mapping[str, Any]) -> list[str]:
    """Return the role of each step of a record's variant, in order."""
    fields = config.get("steps") or {}
    return [step_role(name, fields.get(name) or {}) for name in config["variant"]["steps"]]


def native_runtime(runtimes: Iterable[str]) -> str:
    """Return the runtime whose variants are the subject; those of any other are controls."""
    known = sorted(set(runtimes))
    return NATIVE_RUNTIME if NATIVE_RUNTIME in known or not known else known[0]


def family_of(step_roles: Sequence[str], runtime: str, native: str) -> Family:
    """Return the family of a variant from what its steps do, in their order, and where it runs."""
    if "finetune" in step_roles:
        at = step_roles.index("finetune")
        if "quantize" in step_roles[:at]:
            return QLORA
    if runtime != native:
        return CONTROL
    quantized, finetuned = "quantize" in step_roles, "finetune" in step_roles
    if finetuned:
        return BOTH if quantized else FINETUNED
    return QUANTIZED if quantized else BASE
