"""The kinds of variants, by what their steps do; each kind has one colour and one marker in all charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A kind of variant; `marker` is matplotlib's, so that colour is never the only sign."""

    name: str
    colour: str
    marker: str


# Okabe and Ito's colours: people see them apart with every common colour-vision deficiency.
BASE = Family("base", "#000000", "o")
QUANTIZED = Family("quantized", "#0072B2", "s")
FINETUNED = Family("fine-tuned", "#E69F00", "^")
BOTH = Family("fine-tuned + quantized", "#009E73", "D")
QLORA = Family("QLoRA", "#CC79A7", "P")
CONTROL = Family("control", "#8A8A8A", "X")
FAMILIES = (BASE, QUANTIZED, FINETUNED, BOTH, QLORA, CONTROL)

NATIVE_RUNTIME = "llamacpp"


def native_runtime(runtimes: Iterable[str]) -> str:
    """Return the runtime whose variants are the subject; those of any other are controls."""
    known = sorted(set(runtimes))
    return NATIVE_RUNTIME if NATIVE_RUNTIME in known or not known else known[0]


def family_of(roles: Sequence[str], runtime: str, native: str) -> Family:
    """Return the family of a variant from what its steps do, in their order, and where it runs."""
    if "finetune" in roles and "quantize" in roles[: roles.index("finetune")]:
        return QLORA
    if runtime != native:
        return CONTROL
    quantized, finetuned = "quantize" in roles, "finetune" in roles
    if finetuned:
        return BOTH if quantized else FINETUNED
    return QUANTIZED if quantized else BASE
