"""Compose `conf/` and the overrides of a request into the settings of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import yaml

from bench.sweep.plan.conf import CONF, check_files, check_keys, check_references, content, flatten, names
from bench.sweep.plan.request import RunRequest, escaped, quoted, setting
from bench.sweep.plan.settings import Settings, settings_of
from variants.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

PRIMARY = "sweep"
"""The name under which Hydra finds conf/config.yaml with every measure in its defaults."""
CHOICES = ("model", "steps", "suite", "launcher")
LOGGING = {"version": 1, "root": None, "disable_existing_loggers": False}
FIXED: Mapping[str, object] = {
    "searchpath": [], "callbacks": {}, "output_subdir": None,
    "run.dir": "${cache_dir}/hydra", "sweep.dir": "${cache_dir}/hydra", "sweep.subdir": ".",
    "job.chdir": False, "job.env_set": {}, "job_logging": LOGGING, "hydra_logging": LOGGING,
}  # fmt: skip
"""What Hydra may not be given by any file of conf/: it makes objects of its own settings, writes and logs by them."""
PLUGINS = {
    "sweeper._target_": ("hydra._internal.core_plugins.basic_sweeper.",),
    "launcher._target_": ("hydra._internal.core_plugins.", "hydra_plugins."),
}
"""What Hydra makes objects of, and the packages of its own that their classes come from."""


def compose(request: RunRequest, variant: str, round_: int, *, check: bool = False) -> Settings:
    """Compose the settings of one cell; `check` also refuses overrides of unknown keys, and files that are none.

    Raises UserError in one line for what Hydra refuses, and for a variant, suite or model that is not called as its
    file.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    if check:
        check_references({one.key: one.line.partition("=")[2] for one in request.settings})
        check_files(choices(request, variant))
    try:
        register()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            try:
                config = hydra_compose(PRIMARY, cell_overrides(request, variant, round_), return_hydra_config=True)
            except HydraException:
                if check:  # it may be an unknown key: only then is it looked for
                    chosen = [one.line for one in request.settings if one.key in CHOICES]
                    check_keys((one.key for one in request.settings), plain(hydra_compose(PRIMARY, chosen)))
                raise
        values = resolved(config)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key}: missing; set it with {error.full_key}=…") from None
    except RecursionError:
        raise UserError("configuration: its values are nested too deeply") from None
    except yaml.YAMLError as error:
        raise UserError(f"configuration: {' '.join(str(error).split())}") from None
    except (
        HydraException,
        OmegaConfBaseException,
        ValueError,
    ) as error:  # ValueError: Hydra's, for a group set to null
        lines = [line.strip() for line in f"{error}\n{error.__cause__ or ''}".splitlines() if line.strip()]
        reason = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
        raise UserError(f"configuration: {reason}") from None
    settings = settings_of(values)
    _check_own_names(request, variant, settings)
    return settings


def resolved(config: DictConfig) -> dict[str, object]:
    """Return a composed configuration with its references followed, and without Hydra's own.

    Raises UserError for what Hydra would run or write elsewhere, and for a reference to anything but another key.
    """
    from omegaconf import open_dict

    _check_hydra(plain(config.hydra))
    with open_dict(config):
        del config["hydra"]
    check_references(plain(config))
    return plain(config, resolve=True, throw_on_missing=True)


def plain(config: DictConfig, *, resolve: bool = False, throw_on_missing: bool = False) -> dict[str, object]:
    """Return a composed configuration as plain data."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(config, resolve=resolve, throw_on_missing=throw_on_missing)
    return cast(dict[str, object], values)


def choices(request: RunRequest, variant: str) -> dict[str, list[str]]:
    """Return, by group, the names of the files that the cells of a request are composed of."""
    typed = {one.key: one.line.partition("=")[2].strip("'\"") for one in request.settings if one.key in CHOICES}
    return {
        "": ["config"],
        "variant": [variant],
        **{group: [typed[group]] for group in CHOICES if group in typed},
        "measure": names("measure"),
    }


def _check_hydra(hydra: Mapping[str, object]) -> None:
    """Raise UserError where a file of conf/ gives Hydra something to run, or another place to write to."""
    values = dict(flatten(hydra))
    for key, allowed in FIXED.items():
        if (values.get(key) or None) != (allowed or None):
            raise UserError(f"hydra.{key}: got {values.get(key)!r}, allowed: {allowed!r}; take it out of conf/")
    for key, value in values.items():
        if key.endswith("_target_") and not str(value).startswith(PLUGINS.get(key, ())):
            raise UserError(f"hydra.{key}: got {value!r}, allowed: nothing; take it out of conf/")


def _check_own_names(request: RunRequest, variant: str, settings: Settings) -> None:
    """Raise UserError for a YAML that was copied and still has the name of the other: records would share it."""
    named = [("variant", settings.variant.name, variant), ("suite", settings.suite.name, request.suite)]
    if not any(one.key == "model.name" for one in request.settings):
        named.append(("model", settings.model.name or "", request.model))
    for group, name, file in named:
        if name != file:
            raise UserError(
                f"conf/{group}/{file}.yaml: name: got {name!r}, allowed: {file}, as its file is called; change the name"
            )


def register() -> None:
    """Give Hydra conf/config.yaml with every file of conf/measure in its defaults, so that a measure is one YAML.

    They come before the suite, because the suite sets some of their keys; an entry that is appended on the command line
    would come after it.
    """
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    defaults = content(CONF / "config.yaml").get("defaults")
    entries = defaults if isinstance(defaults, list) else []
    at = next((i for i, entry in enumerate(entries) if isinstance(entry, dict) and "suite" in entry), None)
    if at is None:
        raise UserError("conf/config.yaml: its defaults name no suite; restore the file")
    config = OmegaConf.load(CONF / "config.yaml")
    config.defaults = entries[:at] + [{f"measure@{name}": name} for name in names("measure")] + entries[at:]
    ConfigStore.instance().store(PRIMARY, config)


def cell_overrides(request: RunRequest, variant: str, round_: int) -> list[str]:
    """Return the Hydra overrides that make one cell."""
    return [f"round={round_}", f"variant={variant}", *sweep_overrides(request)]


def sweep_overrides(request: RunRequest) -> list[str]:
    """Return the Hydra overrides that all cells share."""
    return [
        *request.overrides,
        *(place.line for place in request.places),
        setting("sweep", request.sweep).line,
        setting("sweep_suffix", request.suffix).line,
        f"overrides=[{','.join(quoted(escaped(line)) for line in request.overrides)}]",
    ]
