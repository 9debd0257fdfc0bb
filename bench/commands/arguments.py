"""What several commands read from the command line alike, and what they say where there are no records."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from variants.configure import configure, similar
from variants.errors import UserError

if TYPE_CHECKING:
    from bench.records.selection import Wanted


def names_in(typed: str) -> tuple[str, ...]:
    """Return the names that were typed with commas between them."""
    return tuple(name.strip() for name in typed.split(",") if name.strip())


def formats_of(typed: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the formats that were typed with commas between them. Raises UserError for one that is not allowed."""
    formats = tuple(name.strip() for name in typed.split(","))
    if unknown := [name for name in formats if name not in allowed]:
        raise UserError(f"--format: got {', '.join(map(repr, unknown))}, allowed: {', '.join(allowed)}")
    return formats


def folder_typed(typed: str | None) -> Path | None:
    """Return the folder that --out names, None without one. Raises UserError for an empty name."""
    if typed is not None and not typed.strip():
        raise UserError("--out: got '', allowed: a folder")
    return Path(typed) if typed else None


def check_task(metric: str, variant: str, overrides: Sequence[str]) -> None:
    """Raise UserError where a run with these overrides would not ask the task that a metric is of.

    What a group or a tag of lm-eval stands for is known when it is loaded, and is not checked.
    """
    from bench.sweep.plan.compose import compose
    from bench.sweep.plan.request import parse
    from bench.tasks import task_yaml
    from bench.tasks.catalogue import label

    kind, _, task = metric.partition(" ")
    if not task:
        return
    settings = compose(parse([f"variant={variant}", *overrides]), variant, 0)
    asked = configure(settings.measures["accuracy"], "accuracy").tasks
    labels = [label(name) for name in asked]
    if task not in labels and all(map(task_yaml.find, asked)):
        allowed = ", ".join(f"'{kind} {name}'" for name in labels)
        raise UserError(f"METRIC: got {metric!r}, no such task is asked; allowed: {allowed}{similar(task, labels)}")


def wanted_of(arguments: Namespace, results: Path) -> Wanted:
    """Return what --commit, --machine and --sweep ask for. Raises UserError for an unknown revision."""
    from bench.records.revision import wanted_commit
    from bench.records.selection import Wanted

    commit = None if arguments.commit is None else wanted_commit(arguments.commit, results)
    return Wanted(commit, arguments.machine, arguments.sweep)


def no_records(arguments: Namespace, results: Path) -> UserError:
    """Return the error of a command that found no record of what was asked for."""
    from bench.records.listing import choices
    from bench.records.selection import Wanted

    asked = Wanted(arguments.commit, arguments.machine, arguments.sweep)
    if not str(asked):
        return UserError(f"no records under {results}: run `make bench`")
    return UserError(f"no records for {asked} under {results}: choose one of: {choices(results)}")


def override(argument: str) -> tuple[str, object]:
    """Return the key and the value of `requirements=…` or `requirements.KEY=…`. Raises UserError for anything else."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from bench.advise.named import KEY

    allowed = "allowed: requirements=NAME, or requirements.KEY=VALUE such as requirements.max_p99_ms=150"
    try:
        parsed = OverridesParser.create().parse_override(argument)
        value = parsed.value()
    except HydraException:
        raise UserError(f"{argument!r}: not a valid override; {allowed}") from None
    key = parsed.key_or_group
    plain = not (parsed.is_add() or parsed.is_force_add() or parsed.is_delete() or parsed.is_sweep_override())
    if key.partition(".")[0] != KEY or not plain:
        raise UserError(f"{argument!r}: no requirement; {allowed}")
    return key, value
