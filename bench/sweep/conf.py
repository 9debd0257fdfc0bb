"""The names and keys in `conf/`, and the check of what a user typed against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from variants.configure import nearest
from variants.errors import UserError
from variants.paths import ROOT

CONF = ROOT / "conf"


GROUPS = ("model", "steps", "variant", "suite", "launcher")


def names(group: str) -> list[str]:
    """List the names of a configuration group: the YAML files in its folder."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def check_name(group: str, name: str) -> None:
    """Raise UserError where a group has no such name."""
    if name not in names(group):
        raise UserError(f"{group}: no {name!r} in conf/{group}; {nearest(name, names(group))}")


def check_keys(overrides: Sequence[str], config: Mapping[str, Any]) -> None:
    """Raise UserError for an override of a key that the configuration does not have."""
    known = set(flatten(config))
    for override in overrides:
        key = override.partition("=")[0]
        if key in GROUPS or key.startswith("hydra") or key in known:
            continue
        raise UserError(f"{key}: unknown key; {nearest(key, known)}")


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of a configuration, branches included."""
    for name, value in config.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
