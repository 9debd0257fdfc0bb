"""The settings of one cell, typed once when they are composed: everything after that is free of Hydra."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from bench.records.questions import Questions
from bench.records.types import Model, Variant
from bench.records.values import Fields
from bench.sweep.plan.conf import check_name, names
from variants.cache import Cache
from variants.errors import UserError
from variants.paths import resolve
from variants.safety.names import HUB_NAMES, is_hub_name
from variants.safety.names import check_name as check_text

TYPES = {"int": "a whole number", "str": "text", "array": "a list", "object": "keys with values", "float": "a number"}
TIMINGS = ("alone", "per_gpu")
MOST_ROUNDS = 100
"""A sweep is planned in full before it runs, and its rounds show how much a machine varies: three are usual."""
ALLOWED = {"suite.rounds": f"a whole number from 1 to {MOST_ROUNDS}"}
"""What a key allows, where its type alone says too little."""
_TROUBLE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>[^`]*)`)?$", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(?P<type>\w+)[^`]*`(?P<limit>(?: of length)? [<>]=? [\d.e+-]+)?")


class Suite(Struct, frozen=True, forbid_unknown_fields=True):
    """Which variants are measured, by what, in how many rounds, and which questions the report answers.

    `once` lists the measures of the first round alone. `if_it_fits` lists the variants that are left out where the
    memory of the device is too small for them. `requirements` names the limits that the variants are judged by
    (conf/requirements); they move no number.
    """

    name: str
    variants: Annotated[tuple[str, ...], Meta(min_length=1)]
    rounds: Annotated[int, Meta(ge=1, le=MOST_ROUNDS)]
    measures: Annotated[tuple[str, ...], Meta(min_length=1)]
    once: tuple[str, ...] = ()
    if_it_fits: tuple[str, ...] = ()
    questions: Questions | None = None
    requirements: str | None = None


class Settings(Struct, frozen=True):
    """One composed configuration. `steps`, `runtime` and `measures` are nodes that `configure` makes objects of.

    `sweep_run`, `sweep_pass` and `sweep_launcher` say which run of which pass a job belongs to; a plan has none.
    """

    suite: Suite
    model: Model
    variant: Variant
    round: int
    device: str
    split: str
    results_dir: str
    cache_dir: str
    timing: str
    sweep: str
    sweep_suffix: str
    sweep_run: str
    sweep_pass: Literal["", "deterministic", "timed"]
    sweep_launcher: str
    sweep_anchor: str
    overrides: tuple[str, ...]
    steps: dict[str, Fields]
    runtime: dict[str, Fields]
    measures: dict[str, Fields]
    launcher: Fields = {}

    @property
    def spans_machines(self) -> bool:
        """Whether the launcher may run cells on other machines: their records lie under the names of those."""
        return bool(self.launcher.get("several_machines")) or self.launcher.get("address") not in (None, "local")

    @property
    def results(self) -> Path:
        """The folder of the records."""
        return resolve(self.results_dir)

    @property
    def cache(self) -> Cache:
        """Where artifacts, locks, job files and logs lie."""
        return Cache(resolve(self.cache_dir))

    @property
    def is_timed_alone_too(self) -> bool:
        """Say whether this cell shows what company does to its latency: it is then timed once more, alone."""
        return self.timing == "per_gpu" and self.round == 0 and self.variant.name == self.sweep_anchor

    @property
    def needs_anchor(self) -> bool:
        """Say whether the cluster may give this cell another card than the anchor's: it is then timed here too."""
        return self.spans_machines and self.timing == "alone" and self.sweep_anchor not in ("", self.variant.name)

    @property
    def spread(self) -> str:
        """How a model lies on cards in the variant's runtime: `split`, unless the runtime's own key differs."""
        return str(self.runtime.get(self.variant.runtime, {}).get("split", self.split))

    @property
    def model_folder(self) -> Path:
        """The folder of the model; a hub model has one as soon as it is fetched."""
        if self.model.path is None:
            raise UserError("model.path: got null, allowed: a folder; a hub model is named as model=org/name")
        return resolve(self.model.path)


def settings_of(config: Mapping[str, object]) -> Settings:
    """Type a composed configuration. Raises UserError, naming the key, for a value of another type than its key has."""
    node = {**config, "measures": {name: config.get(name) for name in names("measure")}}
    try:
        settings = msgspec.convert(node, Settings)
    except msgspec.ValidationError as error:
        raise UserError(complaint(str(error), node)) from None
    for key, named in (("variant", settings.variant), ("suite", settings.suite), ("model", settings.model)):
        if named.name is not None:
            check_text(named.name, f"{key}.name")
    for step in settings.variant.steps:
        check_text(step, "variant.steps")
    for key, path in (("model.id", settings.model.id), ("model.revision", settings.model.revision)):
        if path is not None and not all(map(is_hub_name, path.split("/"))):  # parts of paths in the hub's cache
            raise UserError(f"{key}: got {path!r}, allowed: names as the hub has them, with / between; {HUB_NAMES}")
    if settings.timing not in TIMINGS:
        raise UserError(f"timing: got {settings.timing!r}, allowed: {', '.join(TIMINGS)}")
    if settings.suite.requirements is not None:
        check_name("requirements", settings.suite.requirements, "suite.requirements")
    if questions := settings.suite.questions:
        for key, name in questions.variants().items():
            check_name("variant", name, f"suite.questions.{key}")
    return settings


def complaint(message: str, node: object) -> str:
    """Turn an error of msgspec into a line of this tool: the key, what it got, what is allowed."""
    parts = _TROUBLE.match(message)
    assert parts is not None  # each part of the pattern may be empty
    what, where = parts["what"], parts["where"] or ""
    expected = _EXPECTED.match(what)
    if expected is None:  # an unknown or missing key, or a check of the class itself
        return f"{where or 'configuration'}: {what[0].lower()}{what[1:]}"
    path = []
    for name in re.findall(r"\.{3}|[^.\[\]]+", where):
        if name == "..." and isinstance(node, Mapping):  # some entry
            name = _odd_entry(node) or name
        node = node[int(name)] if isinstance(node, list) else node.get(name) if isinstance(node, Mapping) else node
        path.append(f"[{name}]" if name.isdigit() else f".{name}")
    where = "".join(path).removeprefix(".").removeprefix("measures.")  # their keys stand at the top
    limit = " that is not empty" if "of length" in what else (expected["limit"] or "")
    allowed = ALLOWED.get(where) or TYPES.get(expected["type"], expected["type"]) + limit
    return f"{where}: got {'null' if node is None else repr(node)}, allowed: {allowed}"


def _odd_entry(table: Mapping[str, object]) -> str | None:
    """Return the key of an entry that no settings may hold, else of one that is no table where all others are."""
    bad = [key for key, entry in table.items() if not _fits(entry)]
    return next(iter(bad or [key for key, entry in table.items() if not isinstance(entry, Mapping)]), None)


def _fits(entry: object) -> bool:
    try:
        msgspec.convert(entry if isinstance(entry, Mapping) else {"": entry}, Fields)
    except msgspec.ValidationError:
        return False
    return True
