"""Compose `conf/` and the overrides of a request into the settings of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from bench.sweep.conf import CONF, check_keys, names
from bench.sweep.request import RunRequest, quoted, setting
from bench.sweep.settings import Settings, settings_of
from variants.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

PRIMARY = "sweep"
"""The name under which Hydra finds conf/config.yaml with every measure in its defaults."""
CHOICES = ("model", "steps", "suite", "launcher")


def compose(request: RunRequest, variant: str, round_: int, *, check: bool = False) -> Settings:
    """Compose the settings of one cell; `check` also refuses overrides of unknown keys.

    Raises UserError in one line for what Hydra refuses.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    register()
    choices = [one.line for one in request.settings if one.key in CHOICES]
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            if check:
                check_keys((one.key for one in request.settings), plain(hydra_compose(PRIMARY, choices)))
            config = hydra_compose(PRIMARY, cell_overrides(request, variant, round_))
        content = plain(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key}: missing; set it with {error.full_key}=…") from None
    except (
        HydraException,
        OmegaConfBaseException,
        ValueError,
    ) as error:  # ValueError: Hydra's, for a group set to null
        raise UserError(f"configuration: {str(error).splitlines()[0]}") from None
    return settings_of(content)


def plain(config: DictConfig, *, resolve: bool = False, throw_on_missing: bool = False) -> dict[str, object]:
    """Return a composed configuration as plain data."""
    from omegaconf import OmegaConf

    content = OmegaConf.to_container(config, resolve=resolve, throw_on_missing=throw_on_missing)
    return cast(dict[str, object], content)


def register() -> None:
    """Give Hydra conf/config.yaml with every file of conf/measure in its defaults, so that a measure is one YAML.

    They come before the suite, because the suite sets some of their keys; an entry that is appended on the command line
    would come after it.
    """
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    config = OmegaConf.load(CONF / "config.yaml")
    defaults = OmegaConf.to_container(config.defaults)
    assert isinstance(defaults, list)
    at = next(i for i, entry in enumerate(defaults) if isinstance(entry, dict) and "suite" in entry)
    config.defaults = defaults[:at] + [{f"measure@{name}": name} for name in names("measure")] + defaults[at:]
    ConfigStore.instance().store(PRIMARY, config)


def cell_overrides(request: RunRequest, variant: str, round_: int) -> list[str]:
    """Return the Hydra overrides that make one cell."""
    return [f"round={round_}", f"variant={variant}", *sweep_overrides(request)]


def sweep_overrides(request: RunRequest) -> list[str]:
    """Return the Hydra overrides that all cells share."""
    return [
        *request.overrides,
        setting("sweep", request.sweep).line,
        setting("sweep_suffix", request.suffix).line,
        f"overrides=[{','.join(map(quoted, request.overrides))}]",
    ]
