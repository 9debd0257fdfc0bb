"""Refuse a model folder whose configuration names code: nothing that comes with a model is ever executed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from reprlib import repr as shortened

from variants.errors import UserError
from variants.safety.files import read_json

CONFIGS = (
    *("config.json", "tokenizer_config.json", "generation_config.json"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "adapter_config.json"),
)
"""What transformers reads of a folder to decide which class opens it."""
NAMES_CODE = ("auto_map", "custom_pipelines", "custom_generate")
NAMES_KERNEL = ("attn_implementation", "experts_implementation")
"""A value `owner/name` is a repository whose compiled code transformers fetches (its integrations/hub_kernels.py)."""
CUSTOM_GENERATE = "custom_generate/generate.py"


def refuse_code(folder: Path) -> None:
    """Raise UserError where a configuration in `folder` names code of the model's own, or code to fetch."""
    for name in CONFIGS:
        if os.path.lexists(folder / name):
            for key, value in _entries(read_json(folder / name)):
                if _is_code(key, value):
                    raise UserError(
                        f"{folder / name}: {key} names code ({shortened(value)}), and no code of a model is ever run; "
                        "delete the key if transformers has the architecture itself, else choose another model"
                    )
    if os.path.lexists(folder / CUSTOM_GENERATE):
        raise UserError(f"{folder}: {CUSTOM_GENERATE} is code, and no code of a model is ever run; delete it")


def _is_code(key: str, value: object) -> bool:
    if key in NAMES_CODE:
        return bool(value)
    if not isinstance(value, str):
        return False
    return value.endswith(".py") or (key.strip("_").removesuffix("_internal") in NAMES_KERNEL and "/" in value)


def _entries(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Yield every key with its value, at any depth; what stands in a list, or under a kernel's key, has that key."""
    waiting = [(key, value)]
    while waiting:
        key, value = waiting.pop()
        yield key, value
        if isinstance(value, dict):
            kernel = key.strip("_") in NAMES_KERNEL
            waiting += [(key if kernel else name, one) for name, one in value.items()]
        elif isinstance(value, list):
            waiting += [(key, one) for one in value]


def fetch_no_kernels() -> None:
    """Keep bitsandbytes and transformers from fetching compiled code: to them the package that does it is not there.

    bitsandbytes asks the hub for a kernel of its own accord on a CPU with AVX512-BF16, and else warns that it cannot.
    """
    sys.modules["kernels"] = None  # type: ignore[assignment]  # which is how Python marks what is not to be imported
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
