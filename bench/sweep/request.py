"""What a user typed after `bench run`, checked against what there is before Hydra sees it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.sweep.conf import GROUPS, check_name, names
from bench.tasks import mmlu
from variants.configure import nearest
from variants.errors import UserError
from variants.paths import resolve

QUOTES = "\"'"
NEUTRAL = ("variant", "launcher", "results_dir", "cache_dir")
"""Keys that choose what runs or where it is kept, and move no number."""
DATA_DIRS = ("data_dir", "accuracy.data_dir")
"""Keys of a folder whose content moves numbers, wherever it lies."""


@dataclass(frozen=True)
class Request:
    """A checked request: the variants asked for (empty: the suite's), Hydra overrides, and the sweep's name.

    `suffix` is empty for the stock sweep: committed defaults and nothing overridden that moves a number.
    """

    variants: tuple[str, ...]
    overrides: tuple[str, ...]
    sweep: str
    suffix: str


def parse(arguments: Sequence[str]) -> Request:
    """Check and sort the arguments of `bench run`. Raises UserError, naming the nearest valid names."""
    chosen = {"model": "reference", "suite": "embedded"}
    variants: tuple[str, ...] = ()
    overrides: list[str] = []
    moved: list[str] = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise UserError(f"{argument!r}: an override is KEY=VALUE, such as suite=smoke or variant=base,q4")
        bare = key.lstrip("+~")
        if bare == "round":
            raise UserError("round: not yours to set; the suite's rounds are suite.rounds=N")
        if bare == "variant":
            variants = tuple(name.strip() for name in value.strip("[]").split(","))
            for name in variants:
                check_name("variant", name)
        elif key != bare and not bare.startswith("hydra"):
            raise UserError(f"{argument}: keys are changed, not added or removed; write {bare}={value}")
        elif bare == "model.revision":
            overrides.append(f"model.revision='{value.strip(QUOTES)}'")  # a sha may look like a number
        elif bare == "model":
            chosen["model"], extra = _model(value)
            overrides += extra
            moved += extra
        elif bare in GROUPS:
            check_name(bare, value)
            chosen[bare] = value
            overrides.append(argument)
        else:
            if not bare.startswith("hydra"):
                _refuse_sweep(argument, value)
            overrides.append(argument)
        if bare in DATA_DIRS and value != "null":
            moved.append(f"data_dir={mmlu.content_sha256(resolve(value.strip(QUOTES)))}")
        elif bare not in (*NEUTRAL, *DATA_DIRS, "model", "suite") and not bare.startswith("hydra"):
            moved.append(argument)
    model = next((v.partition("=")[2] for v in overrides if v.startswith("model.name=")), chosen["model"])
    digest = "-" + hashlib.sha256("\n".join(sorted(moved)).encode()).hexdigest()[:6] if moved else ""
    sweep = f"{chosen['suite']}-{model}{digest}"
    stock = sweep == "embedded-reference"
    return Request(variants, tuple(overrides), sweep, "" if stock else sweep)


def _model(value: str) -> tuple[str, list[str]]:
    """Understand `model=`: a name in conf/model, a folder, or a hub id."""
    if value in names("model"):
        return value, [] if value == "reference" else [f"model={value}"]
    path = Path(value).expanduser()
    if path.exists() or value.startswith(("/", ".", "~")):
        if not path.exists():
            raise UserError(f"model={value}: no such folder")
        return "local", [
            "model=local",
            f"model.path={path.resolve()}",
            f"model.name={_slug(path.resolve().name)}",
        ]
    if re.fullmatch(r"[\w.-]+/[\w.-]+", value):
        return "hub", ["model=hub", f"model.id={value}", f"model.name={_slug(value.split('/')[1])}"]
    raise UserError(f"model={value}: no such name in conf/model, folder, or org/name; {nearest(value, names('model'))}")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "model"


def _refuse_sweep(argument: str, value: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        raise UserError(f"{argument!r}: not a valid override; quote a value with special characters") from None
    if override.is_sweep_override():
        raise UserError(
            f"{argument}: only variant takes a list; for several values add steps, and variants that use them"
        )
