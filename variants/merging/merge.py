"""Write a model with an adapter's changes in it, block by block: W + scale·B·A in 32 bits, rounded once to 16."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from variants.errors import UserError
from variants.load import sixteen_bit
from variants.merging.adapter import Adapter, InPiecesError
from variants.merging.names import Names
from variants.merging.unmerged import PACKED, Weight, weights
from variants.safety.code import fetch_no_kernels
from variants.safety.files import copy, read_json
from variants.steps.model_checks import without_weights
from variants.storage.tensors import ToWrite, write_weights

if TYPE_CHECKING:
    from torch import Tensor

ROUNDED = ("F64", "F32", "F16", "BF16", PACKED)
"""Formats that become 16-bit; others, such as integers, stay as they are."""
FORMATS = {"float16": "F16", "bfloat16": "BF16"}
GENERATION = "generation_config.json"
TIE = "tie_word_embeddings"
Rows = Callable[[], Iterator["Tensor"]]


@dataclass(frozen=True)
class Merged:
    """What a merge wrote: the sha256 of each file of weights, their dtype, and the parameters that it untied."""

    checksums: Mapping[str, str]
    dtype: str
    untied: Sequence[str]


@dataclass(frozen=True)
class ToMerge:
    """An adapter and the weights that it is merged onto, found to fit each other; nothing is computed yet."""

    source: Path
    tensors: Sequence[ToWrite]
    dtype: str
    untied: Sequence[str]

    @classmethod
    def of(cls, adapter_folder: Path, onto: Path, source: Path) -> ToMerge:
        """Find the weights of a folder that an adapter changes; `source` is the 16-bit model of the same architecture.

        Tied parameters of which the adapter changes one become two. Raises InPiecesError where tensors of the files
        are no parameters that it changes, and UserError where the adapter cannot be merged.
        """
        fetch_no_kernels()
        adapter, base = Adapter.read(adapter_folder), weights(onto)
        names = Names.of(without_weights(source), base)
        untied = _untie(names, base, {*adapter.matrices(), *adapter.saved})
        rows: dict[str, Rows] = {name: weight.rows for name, weight in base.items()}
        for parameter, stored in {**adapter.bases, **adapter.saved}.items():
            rows[_in_files(adapter, names, base, parameter, stored.shape)] = stored.rows
        for parameter, module in adapter.matrices().items():
            is_transposed = module in names.transposed
            name = _in_files(adapter, names, base, parameter, adapter.shape(module, is_transposed=is_transposed))
            rows[name] = partial(_changed, adapter, module, is_transposed, rows[name])
        dtype = _dtype(base.values())
        tensors = [
            ToWrite(name, FORMATS[dtype], weight.shape, partial(_rounded, adapter_folder, name, rows[name], dtype))
            if weight.type in ROUNDED
            else ToWrite(name, weight.type, weight.shape, weight.rows)
            for name, weight in base.items()
        ]
        return cls(source, tensors, dtype, untied)

    def write(self, out: Path) -> Merged:
        """Write weights and configuration into a folder. Raises UserError for a weight that is no finite number."""
        checksums = write_weights(out, self.tensors)
        _write_config(self.source, out, self.dtype, untied=bool(self.untied))
        return Merged(checksums, self.dtype, self.untied)


def _changed(adapter: Adapter, module: str, is_transposed: bool, weight: Rows) -> Iterator[Tensor]:
    return adapter.change(module, is_transposed=is_transposed).rows(weight)


def _rounded(folder: Path, name: str, rows: Rows, dtype: str) -> Iterator[Tensor]:
    import torch

    for block in rows():
        rounded = block.to(getattr(torch, dtype))
        if rounded is not block and not torch.stack(rounded.aminmax()).isfinite().all():
            raise UserError(f"{folder}: {name} would have a merged weight that is no finite number in {dtype}")
        yield rounded


def _dtype(base: Iterable[Weight]) -> str:
    """Return the 16-bit format of most parameters: bfloat16, in which no sum is infinite, where most have neither."""
    counts: Counter[str] = Counter()
    for weight in base:
        if weight.type != PACKED:
            counts[weight.type] += prod(weight.shape)
    return sixteen_bit(counts, other="bfloat16")


def _untie(names: Names, base: dict[str, Weight], changed: set[str]) -> list[str]:
    """Give each parameter of a tied pair of which one changes a weight of its own; return their names."""
    untied = []
    for pair in names.tied.items():
        if changed.intersection(pair):
            untied += sorted(pair)
            for name, other in (pair, pair[::-1]):
                if name not in names.in_files and other in names.in_files:
                    base[name] = base[names.in_files[other]]
                    names.in_files[name] = name
    return untied


def _in_files(adapter: Adapter, names: Names, base: Mapping[str, Weight], parameter: str, shape: Sequence[int]) -> str:
    """Return the name of a parameter in the files of the base. Raises UserError where the adapter does not fit it."""
    if parameter in names.fused:
        raise InPiecesError(f"{adapter.folder}: {parameter} is stored in pieces")
    name = names.in_files.get(parameter)
    if name is None:
        raise UserError(f"{adapter.folder}: {parameter} is no parameter of the model that it is to be merged into")
    if tuple(shape) != base[name].shape:
        raise UserError(f"{adapter.folder}: {parameter} has the shape {tuple(shape)}, the model {base[name].shape}")
    return name


def _write_config(source: Path, out: Path, dtype: str, *, untied: bool) -> None:
    """Write the source's configuration with the dtype of the weights, and without a tie that no longer holds."""
    config = read_json(source / "config.json")
    parts = [config, *(part for part in [config.get("text_config")] if isinstance(part, dict))]
    for part in parts:
        for key in {"dtype", "torch_dtype"} & part.keys() or ({"dtype"} if part is config else set()):
            part[key] = dtype
        if untied:
            part[TIE] = False
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if (source / GENERATION).is_file():
        copy(source / GENERATION, out / GENERATION)
