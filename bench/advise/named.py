"""The sets of requirements in `conf/requirements`, by name: which one applies, with the keys that a user changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.advise.requirements import Requirements, requirements_of, suggestion
from bench.records.types import Record
from variants.data.text import read_yaml
from variants.errors import UserError
from variants.paths import ROOT

FOLDER = ROOT / "conf" / "requirements"
SUITES = ROOT / "conf" / "suite"
KEY = "requirements"
Typed = Sequence[tuple[str, object]]
"""What a user typed: `requirements` and a name, or `requirements.KEY` and a value."""


def chosen(typed: Typed, default: str | None) -> tuple[str, Requirements]:
    """Return the name and the requirements that were typed, else the default ones, with the typed keys set.

    Raises UserError where there are none, and for requirements that are wrong.
    """
    stated = [value for key, value in typed if key == KEY]
    if not stated and default is None:
        raise UserError(f"requirements: the suite of these records names none; allowed: {', '.join(names())}")
    name = stated[-1] if stated else default
    if not isinstance(name, str):
        raise UserError(f"requirements: got {name!r}, allowed: {', '.join(names())}")
    node = load(name)
    changed = [(key, value) for key, value in typed if key != KEY]
    for key, value in changed:
        *folders, last = key.split(".")[1:]
        at = node
        for folder in folders:
            below = at.get(folder)
            at[folder] = at = below if isinstance(below, dict) else {}
        at[last] = value
    return (f"{name}, changed" if changed else name), requirements_of(node)


def names() -> list[str]:
    """List the requirements there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> dict[str, object]:
    """Read a set of requirements. Raises UserError where there is none of that name, or its file is no YAML."""
    if name not in names():
        raise UserError(f"requirements: no {name!r} in conf/requirements; {suggestion(name, names())}")
    return _read(FOLDER / f"{name}.yaml")


def _read(path: Path) -> dict[str, object]:
    """Read a YAML of keys with values. Raises UserError for anything else."""
    node = read_yaml(path)
    if not isinstance(node, dict):
        raise UserError(f"{path}: got {node!r}, allowed: keys with values")
    return node


def default_of(records: Sequence[Record], folder: Path = SUITES) -> str | None:
    """Return the requirements that the suite of a sweep names in this checkout, None where it names none."""
    suite = max(records, key=lambda record: record.started_at).config.suite
    file = next((file for file in folder.glob("*.yaml") if file.stem == suite), None)  # a record may state any text
    if file is None:
        return None
    stated = _read(file).get("suite")
    named = stated.get(KEY) if isinstance(stated, dict) else None
    return None if named is None else str(named)
