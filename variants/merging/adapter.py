"""What a LoRA adapter does to the weights of its model, read from the folder that peft wrote.

LoRA: Hu et al. 2021, arXiv 2106.09685; its rank-stabilized scale: Kalajdzievski 2023, arXiv 2312.03732; magnitudes of
their own (DoRA): Liu et al. 2024, arXiv 2402.09353.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from variants.errors import UserError
from variants.safety.files import read_json
from variants.storage.tensors import Stored, stored_in
from variants.weights import ADAPTER

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "adapter_config.json"
PREFIX = "base_model.model."
PART = re.compile(r"(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)(\.weight)?")
BASE = ".base_layer."
"""What peft puts into the name of a parameter that lies under a change of the adapter."""
OTHER_FORMULAS = (
    *("lora_bias", "use_qalora", "use_bdlora", "layer_replication", "trainable_token_indices"),
    *("alora_invocation_tokens", "arrow_config", "kasa_config", "monteclora_config", "velora_config"),
    "ensure_weight_tying",
)
"""Keys of peft's LoraConfig under which an adapter is not W + scale·B·A of one module."""
PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Ways to start a training that leave the model's own weights as they are; others change them."""
FLOATS = ("F32", "F16", "BF16")


class InPiecesError(UserError):
    """An adapter changes a parameter that transformers puts together from several stored tensors."""


@dataclass(frozen=True)
class Change:
    """What is added to a matrix W (rows, columns): left (rows, rank) times right (rank, columns), in 32 bits.

    Where there are magnitudes (DoRA), the sum is then scaled to have their norms: one for each row, or each column.
    """

    left: Tensor
    right: Tensor
    magnitudes: Tensor | None
    of_columns: bool

    def rows(self, weight: Callable[[], Iterator[Tensor]]) -> Iterator[Tensor]:
        """Yield the changed rows of W, in 32 bits, from blocks of its own rows, which are asked for once or twice."""
        norms = self._column_norms(weight) if self.magnitudes is not None and self.of_columns else None
        first = 0
        for changed in self._sums(weight):
            last = first + len(changed)
            if self.magnitudes is not None and norms is not None:
                yield changed * (self.magnitudes / norms)
            elif self.magnitudes is not None:
                yield changed * (self.magnitudes[first:last] / changed.norm(dim=1))[:, None]
            else:
                yield changed
            first = last

    def _sums(self, weight: Callable[[], Iterator[Tensor]]) -> Iterator[Tensor]:
        first = 0
        for block in weight():
            last = first + len(block)
            yield (self.left[first:last] @ self.right).add_(block.float())
            first = last

    def _column_norms(self, weight: Callable[[], Iterator[Tensor]]) -> Tensor:
        import torch

        squares = torch.zeros(self.right.shape[1], dtype=torch.float64)
        for changed in self._sums(weight):
            squares += changed.double().square().sum(0)
        return squares.sqrt().float()


@dataclass(frozen=True)
class Adapter:
    """The parts of an adapter by the module that they change, and the parameters that it holds as a whole.

    `saved` are what its model has instead of its own; `bases` are a copy of what a change is added to, or a bias.
    """

    folder: Path
    config: Mapping[str, object]
    parts: Mapping[str, Mapping[str, Stored]]
    saved: Mapping[str, Stored]
    bases: Mapping[str, Stored]

    @classmethod
    def read(cls, folder: Path) -> Adapter:
        """Read the headers of an adapter. Raises UserError, naming the key, for one that is not merged here."""
        config = read_json(folder / CONFIG)
        if config.get("peft_type") != "LORA":
            raise UserError(f"{folder / CONFIG}: peft_type: got {config.get('peft_type')!r}, allowed: 'LORA'")
        if config.get("init_lora_weights", True) not in PLAIN_STARTS:
            raise UserError(
                f"{folder / CONFIG}: init_lora_weights: got {config['init_lora_weights']!r}, which changes the model's "
                "own weights; save the adapter with peft's path_initial_model_for_weight_conversion"
            )
        if config.get("target_parameters"):
            raise InPiecesError(f"{folder / CONFIG}: target_parameters: the experts of a mixture are stored in pieces")
        for key in OTHER_FORMULAS:
            if config.get(key):
                raise UserError(f"{folder / CONFIG}: {key}: got {config[key]!r}, allowed: none; it cannot be merged")
        parts: dict[str, dict[str, Stored]] = {}
        saved: dict[str, Stored] = {}
        bases: dict[str, Stored] = {}
        for one in stored_in(folder / ADAPTER):
            name = one.name.removeprefix(PREFIX)
            if one.type not in FLOATS:
                raise UserError(f"{folder / ADAPTER}: {one.name} is {one.type}, allowed: {', '.join(FLOATS)}")
            if part := PART.fullmatch(name):
                parts.setdefault(part[1], {})[part[2]] = one
            elif BASE in name or name.endswith(".bias"):
                bases[name.replace(BASE, ".")] = one
            elif one.name.startswith(PREFIX) and _is_saved(config, name):
                saved[name] = one
            else:
                raise UserError(f"{folder / ADAPTER}: {one.name} is no part of an adapter that can be merged")
        return cls(folder, config, parts, saved, bases)

    def matrices(self) -> dict[str, str]:
        """Return the modules that it adds to, by the names of their weights."""
        return {f"{module}.weight": module for module in self.parts}

    def shape(self, module: str, *, is_transposed: bool) -> tuple[int, int]:
        """Return the shape of the weight that a module must have. Raises UserError where a part is missing."""
        down, up = self._matrices(module)
        inputs, outputs = down.shape[1], up.shape[0]
        return (inputs, outputs) if is_transposed or self._is_table(module) else (outputs, inputs)

    def change(self, module: str, *, is_transposed: bool) -> Change:
        """Return what the adapter adds to the weight of a module; `is_transposed`: it is stored (inputs, outputs)."""
        down, up = (one.whole().float() for one in self._matrices(module))
        of_columns = is_transposed or self._is_table(module)
        up *= self._scale(module, len(down))
        left, right = (down.T, up.T) if of_columns else (up, down)
        stored = self.parts[module].get("lora_magnitude_vector")
        magnitudes = stored.whole().float() if stored else None
        return Change(left, right, magnitudes, of_columns)

    def _is_table(self, module: str) -> bool:
        """Return whether a module has a row a token: the shape of its weight is (tokens, width)."""
        return "lora_embedding_A" in self.parts[module]

    def _matrices(self, module: str) -> tuple[Stored, Stored]:
        names = ("lora_embedding_A", "lora_embedding_B") if self._is_table(module) else ("lora_A", "lora_B")
        parts = self.parts[module]
        if missing := [name for name in names if name not in parts or len(parts[name].shape) != 2]:
            raise UserError(f"{self.folder / ADAPTER}: {module} has no matrix {missing[0]}")
        return parts[names[0]], parts[names[1]]

    def _scale(self, module: str, rank: int) -> float:
        from peft.utils.other import get_pattern_key

        patterns = self.config.get("alpha_pattern") or {}
        assert isinstance(patterns, dict)
        alpha = float(patterns.get(get_pattern_key(list(patterns), module), self.config["lora_alpha"]))
        return alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)


def _is_saved(config: Mapping[str, object], parameter: str) -> bool:
    """Return whether a parameter is of a module that was trained as a whole; peft takes names by their ends."""
    modules = config.get("modules_to_save") or []
    names = modules if isinstance(modules, list) else []
    return any(parameter.rpartition(".")[0].endswith(name) for name in names)
