"""What a user typed after `bench run`, checked before Hydra composes it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.sweep.plan.conf import GROUPS, check_name, names
from bench.tasks import mmlu
from variants.configure import nearest
from variants.errors import UserError
from variants.paths import resolve
from variants.safety.names import check_name as check_text
from variants.safety.names import is_hub_name, name_of

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

NEUTRAL = ("variant", "launcher", "results_dir", "cache_dir", "suite.requirements")
"""Keys that choose what runs, where it is kept or what it is judged by, and move no number."""
FILLED_IN = ("sweep", "sweep_suffix", "sweep_run", "sweep_pass", "sweep_launcher", "sweep_anchor", "overrides")
"""Keys that `bench run` sets itself."""
OWN_NAMES = ("variant.name", "suite.name")
QUOTES = ("'", '"')
DATA_DIRS = ("data_dir", "accuracy.data_dir")
"""Keys of a folder whose content moves numbers, wherever it lies."""
PATHS = (
    *DATA_DIRS, "divergence.data_dir", "divergence.text", "results_dir", "cache_dir", "model.path", "latency.prompts",
    "steps.source.path", "steps.lora.data", "steps.lora.replay",
)  # fmt: skip
"""Keys of a file or a folder."""
TEXTS = (*PATHS, "model.name", "model.id", "model.revision")
"""Keys whose text is taken as it was typed, unless it is in quotes: it may look like a number or a list to Hydra."""
_ELEMENT = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,]*?)\s*(?:,|$)""")
"""One element of a list as it is typed, in quotes or not."""


@dataclass(frozen=True)
class Setting:
    """One override: its key, and the whole of it as Hydra reads it."""

    key: str
    line: str


@dataclass(frozen=True)
class RunRequest:
    """A checked request: the variants asked for (empty: the suite's), the overrides, and the sweep's name.

    `suffix` is empty for the stock sweep: committed defaults and nothing overridden that moves a number. `suite` and
    `model` are the names of their files in `conf/`. `places` are overrides that a plan adds on each machine anew, as
    the folder of a model that it makes: Hydra gets them, and no record names them.
    """

    variants: tuple[str, ...]
    settings: tuple[Setting, ...]
    sweep: str
    suffix: str
    suite: str = "embedded"
    model: str = "reference"
    places: tuple[Setting, ...] = ()

    @property
    def launcher(self) -> str:
        """The name of what starts the jobs, a file of `conf/launcher`; `auto` until a plan has chosen."""
        both = (*self.places, *self.settings)
        return next((one.line.partition("=")[2] for one in both if one.key == "launcher"), "auto")

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the overrides as Hydra reads them."""
        return tuple(setting.line for setting in self.settings)

    def having(self, **values: str) -> RunRequest:
        """Return this request with more of the model's keys set: `path`, `revision`."""
        more = (setting(f"model.{key}", value) for key, value in values.items())
        return replace(self, settings=(*self.settings, *more))

    def made(self, path: str) -> RunRequest:
        """Return this request with the folder of a model that a run makes itself."""
        return replace(self, places=(*self.places, setting("model.path", path)))

    def launched_by(self, name: str) -> RunRequest:
        """Return this request with the launcher that a plan has chosen."""
        return replace(self, places=(*self.places, setting("launcher", name)))


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
        elif key in TEXTS and _is_typed_plainly(override):
            settings.append(setting(key, _raw(override)))
        else:
            if key in GROUPS:
                check_name(key, _text(override))
            settings.append(Setting(key, line))
        if key == "suite":
            suite = _text(override)
        if key == "model.name" and override.value() is not None:
            names_of_model.append(_text(override))
        if key in DATA_DIRS and override.value() is not None:
            typed = _raw(override) if _is_typed_plainly(override) else _text(override)
            moved.append(f"data_dir={mmlu.content_sha256(resolve(typed))}")
        elif key not in (*NEUTRAL, *DATA_DIRS, "model", "suite") and not key.startswith("launcher."):
            moved.append(line)
    name = next(iter(names_of_model), model)
    check_text(name, "model.name")
    digest = "-" + hashlib.sha256("\n".join(sorted(moved)).encode()).hexdigest()[:6] if moved else ""
    sweep = f"{suite}-{name}{digest}"
    stock = sweep == "embedded-reference"
    return RunRequest(variants, tuple(settings), sweep, "" if stock else sweep, suite, model)


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
        plain = "${" not in text and OverridesParser.create().parse_override(line).value() == text
    except HydraException:
        plain = False
    return Setting(key, line if plain else f"{key}={quoted(escaped(text))}")


def escaped(text: str) -> str:
    r"""Return a text that OmegaConf reads back as it is: `${x}` in it is no reference to a key, but `\${x}`."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def quoted(text: str) -> str:
    """Return a text in quotes, as Hydra reads it back."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.single).with_quotes()


def _parsed(argument: str) -> Override:
    """Parse an override as Hydra does; a value that Hydra cannot read is the text as it was typed."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        argument.encode()
    except UnicodeEncodeError:
        raise UserError(f"{argument!r}: not UTF-8; rename what it names") from None
    key, equals, text = argument.partition("=")
    if not equals:
        raise UserError(f"{argument!r}: an override is KEY=VALUE, such as suite=smoke or variant=base,q4")
    parser = OverridesParser.create()
    for line in (argument, _as_list(key, text), f"{key}={quoted(text)}"):
        try:
            override = parser.parse_override(line)
            override.value()  # a cast or a function of Hydra's may fail here
            return override
        except (HydraException, ValueError, TypeError):
            continue
    raise UserError(f"{argument!r}: not a valid override, which is KEY=VALUE; the key is what is wrong")


def _as_list(key: str, text: str) -> str:
    """Return a list as Hydra reads it: elements that are not in quotes are put into them."""
    if not (text.startswith("[") and text.endswith("]")):
        return ""
    elements = [element[1] for element in _ELEMENT.finditer(text[1:-1]) if element[1]]
    return f"{key}=[{','.join(one if one[0] in QUOTES else quoted(one) for one in elements)}]"


def _check(override: Override) -> None:
    """Raise UserError for what Hydra can do and a sweep cannot: add keys, remove them, sweep them, or change Hydra."""
    key = key_of(override)
    if key == "round":
        raise UserError("round: not yours to set; the suite's rounds are suite.rounds=N")
    if key in FILLED_IN:
        raise UserError(f"{key}: not yours to set; `bench run` makes it of the suite, the model and the overrides")
    if key in OWN_NAMES:
        group = key.partition(".")[0]
        raise UserError(f"{key}: not yours to set; a {group} is called as its file: copy it in conf/{group}")
    if key.partition(".")[0].partition("/")[0].partition("@")[0] == "hydra":
        raise UserError(f"{key}: not yours to set; what starts the cells is launcher=NAME, a file of conf/launcher")
    if override.is_add() or override.is_force_add() or override.is_delete():
        raise UserError(
            f"{override.input_line}: keys are changed, not added or removed; write {key}={_text(override) or 'VALUE'}"
        )
    if override.is_sweep_override() and key not in ("variant", "model", *TEXTS):
        raise UserError(
            f"{override.input_line}: only variant takes a list to run one by one; write {key}=[a,b] for a value that "
            "is a list, and for several values add steps, and variants that use them"
        )


def _is_typed_plainly(override: Override) -> bool:
    """Say whether a value was typed without quotes and is a text as it stands: not null, no reference to a key."""
    raw = _raw(override)
    return raw[:1] not in QUOTES and "${" not in raw and override.value() is not None


def _raw(override: Override) -> str:
    return str(override.input_line).partition("=")[2]


def _text(override: Override) -> str:
    """Return the value as it was typed, without its quotes: a name or a revision may look like a number."""
    value = override.value()
    return value if isinstance(value, str) else _raw(override).strip()


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
    path = resolve(value if value.startswith("~") else str(Path.cwd() / value))  # as a shell completes it
    if value.startswith(("/", ".", "~")) or Path(value).exists():
        if not path.exists():
            raise UserError(f"model={value}: no such folder")
        return "local", [("model", "local"), ("model.path", str(path)), ("model.name", name_of(path.name))]
    organization, _, repository = value.partition("/")
    if is_hub_name(organization) and is_hub_name(repository):
        return "hub", [("model", "hub"), ("model.id", value), ("model.name", name_of(repository))]
    raise UserError(f"model={value}: no such name in conf/model, folder, or org/name; {nearest(value, names('model'))}")
