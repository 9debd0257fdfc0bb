"""Turn a YAML node with `_target_` into the frozen dataclass it names, checking keys and types.

Hydra's own `instantiate` passes wrong types through; here the dataclass is its own schema.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from variants.errors import UserError


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" with the nearest known names, or the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(names)}"


def configure(node: Mapping[str, Any], key: str) -> Any:
    """Build the object that `node` describes; `key` is where the user finds it in the configuration.

    Raises UserError for an unknown target, an unknown or missing key, a wrong type, or a value the class refuses.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    values = {name: value for name, value in node.items() if name != "_target_"}
    target = str(node.get("_target_", ""))
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
        known = {field.name for field in fields(cls)}
    except (ImportError, AttributeError, ValueError, TypeError):
        raise UserError(f"{key}._target_: {target!r} names no step, measure or runtime class") from None
    for name in values.keys() - known:
        raise UserError(f"{key}.{name}: unknown key; {nearest(name, known)}")
    for name in known - values.keys():
        raise UserError(f"{key}.{name}: missing; {target} needs it stated")
    try:
        typed = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), values))
    except UserError as error:
        dot = "." if str(error).partition(":")[0] in known else ": "
        raise UserError(f"{key}{dot}{error}") from None
    except OmegaConfBaseException as error:
        field = error.full_key or "?"
        raise UserError(f"{key}.{field}: {str(error.msg or error).splitlines()[0]}") from None
    return typed
