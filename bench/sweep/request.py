"""What a user typed after `bench run`, checked before Hydra composes it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.sweep.conf import GROUPS, check_name, names
from bench.tasks import mmlu
from variants.configure import nearest
from variants.errors import UserError
from variants.paths import resolve

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

NEUTRAL = ("variant", "launcher", "results_dir", "cache_dir", "suite.requirements")
"""Keys that choose what runs, where it is kept or what it is judged by, and move no number."""
FILLED_IN = ("sweep", "sweep_suffix", "overrides")
"""Keys that `bench run` sets itself."""
DATA_DIRS = ("data_dir", "accuracy.data_dir")
"""Keys of a folder whose content moves numbers, wherever it lies."""


@dataclass(frozen=True)
class Setting:
    """One override: its key, and the whole of it as Hydra reads it."""

    key: str
    line: str


@dataclass(frozen=True)
class RunRequest:
    """A checked request: the variants asked for (empty: the suite's), the overrides, and the sweep's name.

    `suffix` is empty for the stock sweep: committed defaults and nothing overridden that moves a number.
    """

    variants: tuple[str, ...]
    settings: tuple[Setting, ...]
    sweep: str
    suffix: str

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the overrides as Hydra reads them."""
        return tuple(setting.line for setting in self.settings)

    def having(self, **values: str) -> RunRequest:
        """Return this request with more of the model's keys set: `path`, `revision`."""
        more = (setting(f"model.{key}", value) for key, value in values.items())
        return RunRequest(self.variants, (*self.settings, *more), self.sweep, self.suffix)


def parse(arguments: Sequence[str]) -> RunRequest:
    """Check and sort the arguments of `bench run`. Raises UserError, naming the nearest valid names."""
    suite, model = "embedded", "reference"
    variants: tuple[str, ...] = ()
    settings: list[Setting] = []
    moved: list[str] = []
    names_of_model: list[str] = []
    for override in map(_parsed, arguments):
        key, line = key_of(override), str(override.input_line)
        _check(override)
        if key == "variant":
            variants = _variants(override)
        elif key == "model":
            model, values = _model(_text(override))
            settings += [setting(*pair) for pair in values]
            moved += [f"{name}={value}" for name, value in values]
            names_of_model += [value for name, value in values if name == "model.name"]
        elif key == "model.revision":
            settings.append(setting(key, _text(override)))  # a sha may look like a number
        else:
            if key in GROUPS:
                check_name(key, _text(override))
            settings.append(Setting(key, line))
        if key == "suite":
            suite = _text(override)
        if key == "model.name":
            names_of_model.append(_text(override))
        if key in DATA_DIRS and override.value() is not None:
            moved.append(f"data_dir={mmlu.content_sha256(resolve(_text(override)))}")
        elif key not in (*NEUTRAL, *DATA_DIRS, "model", "suite") and not key.startswith("hydra"):
            moved.append(line)
    name = re.sub(r"[^\w.-]+", "-", next(iter(names_of_model), model))
    digest = "-" + hashlib.sha256("\n".join(sorted(moved)).encode()).hexdigest()[:6] if moved else ""
    sweep = f"{suite}-{name}{digest}"
    stock = sweep == "embedded-reference"
    return RunRequest(variants, tuple(settings), sweep, "" if stock else sweep)


def keys(arguments: Sequence[str]) -> set[str]:
    """Return the keys that some arguments of `bench run` set. Raises UserError for what is no override."""
    return {key_of(_parsed(argument)) for argument in arguments}


def key_of(override: Override) -> str:
    """Return the dotted key of an override, without its + or ~."""
    return override.key_or_group + (f"@{override.package}" if override.package else "")


def setting(key: str, text: str) -> Setting:
    """Make the override that sets a key to a text, in quotes where Hydra would read another value without them."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    line = f"{key}={text}"
    try:
        plain = OverridesParser.create().parse_override(line).value() == text
    except HydraException:
        plain = False
    return Setting(key, line if plain else f"{key}={quoted(text)}")


def quoted(text: str) -> str:
    """Return a text in quotes, as Hydra reads it back."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.single).with_quotes()


def _parsed(argument: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if "=" not in argument:
        raise UserError(f"{argument!r}: an override is KEY=VALUE, such as suite=smoke or variant=base,q4")
    parser = OverridesParser.create()
    try:
        return parser.parse_override(argument)
    except HydraException:
        if argument.startswith("model="):  # a folder may have any name
            return parser.parse_override(setting("model", argument.removeprefix("model=")).line)
        raise UserError(f"{argument!r}: not a valid override; quote a value with special characters") from None


def _check(override: Override) -> None:
    """Raise UserError for what Hydra can do and a sweep cannot: add keys, remove them, or sweep them."""
    key = key_of(override)
    if key == "round":
        raise UserError("round: not yours to set; the suite's rounds are suite.rounds=N")
    if key in FILLED_IN:
        raise UserError(f"{key}: not yours to set; `bench run` makes it of the suite, the model and the overrides")
    if key == "variant" or key.startswith("hydra"):
        return
    if override.is_add() or override.is_force_add() or override.is_delete():
        raise UserError(
            f"{override.input_line}: keys are changed, not added or removed; write {key}={_text(override) or 'VALUE'}"
        )
    if override.is_sweep_override() and key != "model":
        raise UserError(
            f"{override.input_line}: only variant takes a list to run one by one; write {key}=[a,b] for a value that "
            "is a list, and for several values add steps, and variants that use them"
        )


def _text(override: Override) -> str:
    """Return the value as it was typed, without its quotes: a name or a revision may look like a number."""
    value = override.value()
    return value if isinstance(value, str) else str(override.input_line).partition("=")[2].strip()


def _variants(override: Override) -> tuple[str, ...]:
    from hydra.core.override_parser.types import ChoiceSweep

    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else value if isinstance(value, list) else [_text(override)]
    chosen = tuple(str(getattr(name, "text", name)) for name in values) or ("",)
    for name in chosen:
        check_name("variant", name)
    return chosen


def _model(value: str) -> tuple[str, list[tuple[str, str]]]:
    """Understand `model=`: a name in conf/model, a folder, or a hub id; return the name and what it sets."""
    if value in names("model"):
        return value, [] if value == "reference" else [("model", value)]
    if not value:
        known = ", ".join(names("model"))
        raise UserError(f"model: got nothing, allowed: a name in conf/model ({known}), a folder, or org/name")
    path = Path(value).expanduser()
    if path.exists() or value.startswith(("/", ".", "~")):
        if not path.exists():
            raise UserError(f"model={value}: no such folder")
        path = path.resolve()
        return "local", [("model", "local"), ("model.path", str(path)), ("model.name", _slug(path.name))]
    if re.fullmatch(r"[\w.-]+/[\w.-]+", value):
        return "hub", [("model", "hub"), ("model.id", value), ("model.name", _slug(value.split("/")[1]))]
    raise UserError(f"model={value}: no such name in conf/model, folder, or org/name; {nearest(value, names('model'))}")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "model"
