"""Under which name the files of a model have each of its parameters: transformers renames many while it loads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Names:
    """The names of a model's parameters in its files, which are transposed there, and which are tied.

    `fused` are parameters that transformers puts together from several tensors while it loads.
    """

    in_files: dict[str, str]
    fused: frozenset[str]
    transposed: frozenset[str]
    tied: dict[str, str]

    @classmethod
    def of(cls, model: PreTrainedModel, stored: Iterable[str]) -> Names:
        """Find the parameters of a model, which needs no weights, that the tensors of its files become."""
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
        from transformers.pytorch_utils import Conv1D

        mapping = get_model_conversion_mapping(model)
        renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
        converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
        parameters, prefix = model.state_dict(), model.base_model_prefix
        in_files: dict[str, str] = {}
        fused = set()
        for name in stored:
            renamed, converted = rename_source_key(name, renamings, converters, prefix, parameters)
            if renamed not in parameters and name in parameters:
                renamed, converted = name, None
            if converted is not None:
                fused.add(renamed)
            else:
                in_files[renamed] = name
        transposed = frozenset(name for name, module in model.named_modules() if isinstance(module, Conv1D))
        return cls(in_files, frozenset(fused), transposed, dict(model.all_tied_weights_keys))
