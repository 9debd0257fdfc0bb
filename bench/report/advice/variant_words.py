"""A variant in words, from what its steps do: `fine-tuned, then 4-bit`, `as it came`."""

from __future__ import annotations

import re

from bench.records.types import Record
from bench.summary.family import CONTROL
from bench.summary.rows import Row
from bench.terminal import printable

BITS = re.compile(r"^\D*(\d+)")
CONVERTED = re.compile(r"b?f(\d+)")
"""The types of weights that nothing quantized, as a step states them."""


def variant_in_words(row: Row) -> str:
    """Say what a variant is in a few words, never from its name; bits are those that the types are named for."""
    record = next((record for record in row.records if record.lineage), row.records[0])
    parts: list[str] = []
    for step, role in zip(record.steps, record.roles, strict=False):
        if role == "quantize":
            parts.append(_bits(record, step) or step)
        elif role == "finetune":
            parts = [f"trained on {parts[-1]}"] if parts else ["fine-tuned"]
        elif role == "other":
            parts.append(step)
    if not parts:
        parts = ["as it came, 32-bit" if _converted(record) == "32-bit" else "as it came"]
    elif parts == ["fine-tuned"] and (stored := _converted(record)):
        parts = [f"fine-tuned, {stored}"]
    text = ", then ".join(parts)
    if "quantize" in row.roles and "finetune" not in row.roles:
        text += ", not fine-tuned"
    return printable(f"{text}, in {row.runtime}" if row.family == CONTROL else text)


def _bits(record: Record, step: str) -> str:
    """Return the bits of a quantization: those of the type that it states, else of its class, such as Nf4."""
    fields = record.config.steps.get(step, {})
    stated = str(fields.get("type") or str(fields.get("_target_", "")).rpartition(".")[2])
    bits = BITS.match(stated)
    return f"{bits[1]}-bit" if bits else ""


def _converted(record: Record) -> str:
    """Return in how many bits a model is kept that nothing quantized, empty where no step states it."""
    types = [str(record.config.steps.get(step, {}).get("type", "")) for step in record.steps]
    kept = [bits[1] for kind in types if (bits := CONVERTED.fullmatch(kind))]
    return f"{kept[-1]}-bit" if kept else ""
