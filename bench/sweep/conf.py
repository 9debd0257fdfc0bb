"""The names and keys in `conf/`, and the check of what a user typed against them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from variants.configure import nearest
from variants.errors import UserError
from variants.paths import ROOT

CONF = ROOT / "conf"
GROUPS = ("model", "steps", "variant", "suite", "launcher")


def names(group: str) -> list[str]:
    """List the names of a configuration group: the YAML files in its folder."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def check_name(group: str, name: str, key: str = "") -> None:
    """Raise UserError where a group has no such name; `key` is where the user wrote it, if not under the group's."""
    if name not in names(group):
        raise UserError(f"{key or group}: no {name!r} in conf/{group}; {nearest(name, names(group))}")


def check_keys(keys: Iterable[str], config: Mapping[str, object]) -> None:
    """Raise UserError for a key that the configuration does not have."""
    known = set(flatten(config))
    for key in keys:
        if key not in GROUPS and not key.startswith("hydra") and key not in known:
            parent = key
            while parent and parent not in known:
                parent = parent.rpartition(".")[0]
            beside = {name for name in known if name.rpartition(".")[0] == parent}
            raise UserError(f"{key}: unknown key; {nearest(key, known, beside)}")


def flatten(config: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of a configuration, branches included."""
    for name, value in config.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
