"""The names, files and keys in `conf/`, and the check of what a user typed against them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from variants.configure import nearest
from variants.data.text import read_yaml
from variants.errors import UserError
from variants.paths import ROOT
from variants.safety.names import check_name as check_text

CONF = ROOT / "conf"
GROUPS = ("model", "steps", "variant", "suite", "launcher")
_FOREIGN = re.compile(r"(?<!\\)(?:\\\\)*\$\{(?!\s*[\w.\[\]-]+\s*\})|(?<!\\)(?:\\\\)*\$\{\s*[.\[]*round\W")
"""What a value may not hold: `${` that does more than name another key, or that names the round."""


def names(group: str) -> list[str]:
    """List the names of a configuration group: the YAML files in its folder."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def check_name(group: str, name: str, key: str = "") -> None:
    """Raise UserError where a group has no such name; `key` is where the user wrote it, if not under the group's."""
    known = names(group)
    if name not in known:
        raise UserError(f"{key or group}: no {name!r} in conf/{group}; {nearest(name, known)}")
    check_text(name, f"conf/{group}/{name}.yaml")


def check_files(choices: Mapping[str, Iterable[str]]) -> None:
    """Raise UserError for a file that a composition would read and that is none, by the names chosen in each group.

    Where a file names others in its defaults, those are looked at too; a circle of them is an error.
    """
    for group, chosen in choices.items():
        for name in chosen:
            _check_file(group, name, ())


def _check_file(group: str, name: str, within: Sequence[str]) -> None:
    place = f"{group}/{name}".strip("/").removesuffix(".yaml")
    if place in within:
        raise UserError(f"conf/{within[0]}.yaml: its defaults include themselves: {' → '.join((*within, place))}")
    path = CONF / f"{place}.yaml"
    if not path.exists() and not path.is_symlink():
        return  # Hydra's own, or a name that Hydra reports
    defaults = content(path).get("defaults")
    for entry in defaults if isinstance(defaults, list) else ():
        chosen = entry.items() if isinstance(entry, Mapping) else [(None, entry)]
        for key, value in chosen:
            words = str(key or "").removeprefix("override ").removeprefix("optional ").partition("@")[0].strip()
            below = words.strip("/") if words.startswith("/") else "/".join(filter(None, (group, words)))
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and one != "_self_":
                    absolute = one.startswith("/")
                    _check_file("" if absolute else below, one.strip("/").partition("@")[0], (*within, place))


def content(path: Path) -> Mapping[str, object]:
    """Return the keys and values of a YAML file. Raises UserError, naming it, for anything else that a file may be."""
    try:
        at = path.stat()
        values = _loaded(path, at.st_mtime_ns, at.st_size)
    except OSError:  # a link to nothing or to itself
        values = read_yaml(path)
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        kind = "nothing" if values is None else "a list" if isinstance(values, list) else "no keys with values"
        raise UserError(f"{path}: {kind} in it, allowed: keys with values, such as `name: {path.stem}`")
    return values


@cache
def _loaded(path: Path, mtime_ns: int, n_bytes: int) -> object:
    """Read a file once for all cells of a sweep."""
    return read_yaml(path)


def check_keys(keys: Iterable[str], config: Mapping[str, object]) -> None:
    """Raise UserError for a key that the configuration does not have."""
    known = {name for name, _ in flatten(config) if not name.endswith("]")}
    for key in keys:
        if key not in GROUPS and key not in known:
            parent = key
            while parent and parent not in known:
                parent = parent.rpartition(".")[0]
            beside = {name for name in known if name.rpartition(".")[0] == parent}
            if key.startswith("launcher.") and not any(name.startswith("launcher.") for name in known):
                raise UserError(f"{key}: this launcher has no keys; name another one too, such as launcher=joblib")
            raise UserError(f"{key or repr(key)}: unknown key; {nearest(key, known, beside)}")


def check_references(config: Mapping[str, object]) -> None:
    """Raise UserError for a value that asks a resolver: of the environment, the clock, Hydra or code.

    `${key}` may name another key, but not `round`: a round repeats what the one before it measured.
    """
    for key, value in flatten(config):
        if isinstance(value, str) and _FOREIGN.search(value):
            raise UserError(
                f"{key}: got {value!r}, allowed behind ${{: the key of another value but round, such as "
                "${model.path}; nothing is read from the environment, the clock or code"
            )


def flatten(node: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield every dotted key of a configuration and its value, branches included; entries of lists are numbered."""
    if isinstance(node, Mapping):
        entries = [(f"{prefix}.{name}".removeprefix("."), value) for name, value in node.items()]
    else:
        entries = [(f"{prefix}[{i}]", value) for i, value in enumerate(node)] if isinstance(node, list) else []
    for key, value in entries:
        yield key, value
        yield from flatten(value, key)
