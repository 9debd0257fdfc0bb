"""Turn a YAML node with `_target_` into the frozen dataclass it names, checking keys and types.

Hydra's own `instantiate` passes wrong types through; here the dataclass is its own schema.
"""

from __future__ import annotations

import difflib
import importlib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

from variants.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "None": "null"}
"""What the types of fields are called in an error."""
MEASURE = ("measure", ("bench.measures",))
KINDS = {"steps": ("run", ("variants.steps", "bench.steps")), "runtime": ("open", ("bench.runtimes",))}
"""By the first part of a key: the method that its class has, and the folders that may hold it; else it is a measure."""
NAMES = {"names": True}
"""Field metadata of a text with names in it, commas between them: a list of names is the same, and spaces are none."""
LARGEST_INT = 2**31 - 1
LEAST: Mapping[str, int] = {"seed": 0}
MOST: Mapping[str, int] = {"n_threads": 512, "epochs": 10_000}
"""Bounds of fields that mean the same in every class: numpy takes no negative seed, llama.cpp aborts the process above
512 threads (GGML_MAX_N_THREADS), and each epoch makes a list of all rows."""
NEAREST, LISTED, CLOSE = 5, 20, 0.6
"""How many near names an error shows; up to how many it lists all; from which likeness (0 to 1) a name is near."""


def nearest(name: str, known: Iterable[str], beside: Iterable[str] | None = None) -> str:
    """Return "did you mean …?" with the nearest known names, else a list of what there is: all, or those `beside`.

    A dotted key is also compared by its last part: `rank` is near `steps.lora.rank`. At most NEAREST names are shown
    where there are more than LISTED.
    """
    matcher = difflib.SequenceMatcher(b=name.lower())
    last = difflib.SequenceMatcher(b=name.lower().rpartition(".")[2])

    def likeness(one: str) -> tuple[float, float]:
        matcher.set_seq1(one.lower())
        last.set_seq1(one.lower().rpartition(".")[2])
        return max(matcher.ratio(), last.ratio()), matcher.ratio()

    likenesses = {one: likeness(one) for one in known}
    ordered = sorted(likenesses, key=lambda one: (*(-like for like in likenesses[one]), one))
    if close := [one for one in ordered if likenesses[one][0] >= CLOSE][:NEAREST]:
        return f"did you mean {_either(close)}?"
    listed = sorted(likenesses if beside is None else beside)
    if len(listed) <= LISTED:
        return f"there are: {', '.join(listed)}"
    return f"the nearest are: {', '.join([one for one in ordered if one in listed][:NEAREST])}"


def similar(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" behind a list of what is allowed, empty where no name is near."""
    hint = nearest(name, known)
    return f"; {hint}" if hint.startswith("did you mean") else ""


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def configure(node: Mapping[str, Any], key: str) -> Any:
    """Build the object that `node` describes; `key` is where the user finds it in the configuration.

    Raises UserError for an unknown target, an unknown or missing key, a wrong type, or a value the class refuses.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    values = {name: value for name, value in node.items() if name != "_target_"}
    target = str(node.get("_target_", ""))
    cls = _class(target, key)
    known = {field.name: field for field in fields(cls)}
    declared = {name: str(field.type) for name, field in known.items()}
    for name in values.keys() - known.keys():
        raise UserError(f"{key}.{name}: unknown key; {nearest(name, known)}")
    for name in known.keys() - values.keys():
        raise UserError(f"{key}.{name}: missing; {target} needs it stated")
    values |= {name: _joined(values[name]) for name in known if known[name].metadata.get("names")}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(cls), values)
        check_values(cast("dict[str, object]", OmegaConf.to_container(merged)), declared)
        typed = OmegaConf.to_object(merged)
    except UserError as error:
        dot = "." if re.split(r"[:\[]", str(error))[0] in known else ": "
        raise UserError(f"{key}{dot}{error}") from None
    except OmegaConfBaseException as error:
        where = str(error.full_key or "?")
        value = getattr(error, "value", None)
        shown = "null" if repr(value) == "None" else repr(value)  # OmegaConf may hand over its own node
        raise UserError(f"{key}.{where}: got {shown}, allowed: {_allowed(declared, where)}") from None
    return typed


def _class(target: str, key: str) -> Any:
    """Import the class that a node names. Only modules where such a class may stand are imported: an import runs code.

    Raises UserError for any other name, and for what is no class of that module.
    """
    verb, rooms = KINDS.get(key.partition(".")[0], MEASURE)
    module, _, name = target.rpartition(".")
    refused = UserError(f"{key}._target_: got {target!r:.100}, allowed: a class of a module in {' or '.join(rooms)}")
    if module.rpartition(".")[0] not in rooms or not all(part.isidentifier() for part in target.split(".")):
        raise refused
    try:
        cls = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise refused from None
    if not (isinstance(cls, type) and is_dataclass(cls) and cls.__module__ == module and hasattr(cls, verb)):
        raise refused
    return cls


def _joined(value: object) -> object:
    """Return names as one text, as it has always been written: no spaces, commas between; anything else as it is."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return value
    return ",".join(name.strip() for name in names)


def check_values(values: Mapping[str, object], declared: Mapping[str, str]) -> None:
    """Raise UserError for a value that a library would wrap, choke on or misread.

    That is a number beyond C's int or the bounds above, no finite number, half a character in a text, or a list in a
    list of names. `declared` are the types of the fields as they are written.
    """
    for name, value in values.items():
        if isinstance(value, list | dict):
            entries = enumerate(value) if isinstance(value, list) else value.items()
            inside = {f"{name}[{key}]": entry for key, entry in entries}
            if "Any" not in declared.get(name, "Any"):
                for key, entry in inside.items():
                    if isinstance(entry, list | dict):
                        raise UserError(f"{key}: got {entry!r}, allowed: {_allowed(declared, key)}")
            check_values(inside, declared)
        elif isinstance(value, int) and abs(value) > LARGEST_INT:
            raise UserError(f"{name}: got {value}, allowed: up to {LARGEST_INT}, the largest number of C's int")
        elif isinstance(value, int) and value < LEAST.get(name, value):
            raise UserError(f"{name}: got {value}, allowed: {LEAST[name]} and more")
        elif isinstance(value, int) and value > MOST.get(name, value):
            raise UserError(f"{name}: got {value}, allowed: {MOST[name]} and less")
        elif isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name}: got {value}, allowed: a finite number")
        elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise UserError(f"{name}: got {value!r}, allowed: text in UTF-8, which has no half a character")


def check_least(configured: object, **least: int) -> None:
    """Raise UserError for a field that is below the least value named for it; null passes where the field takes it."""
    types = {field.name: str(field.type) for field in fields(cast("DataclassInstance", configured))}
    for name, limit in least.items():
        value = getattr(configured, name)
        if value is not None and value < limit:
            null = ", or null" if "None" in types[name] else ""
            raise UserError(f"{name}: got {value}, allowed: {limit} and more{null}")


def check_choices(configured: object, **choices: Collection[str]) -> None:
    """Raise UserError for a field whose value is none of those named for it."""
    for name, allowed in choices.items():
        if (value := getattr(configured, name)) not in allowed:
            raise UserError(f"{name}: got {value!r}, allowed: {', '.join(allowed)}")


def _allowed(declared: Mapping[str, str], where: str) -> str:
    """Say in words which values a key takes; `declared` are the types of its class's fields as they are written."""
    name, *inside = re.split(r"[.\[]", where)
    kind = declared.get(name, "another value")
    entries = re.fullmatch(r"(list|dict)\[(?:str, )?(\w+)\]", kind)
    if entries and not inside:
        return "a list, such as [a,b]" if entries[1] == "list" else "keys with values"
    kinds = (entries[2] if entries else kind).split(" | ")
    return " or ".join(WORDS.get(kind, kind) for kind in kinds)
