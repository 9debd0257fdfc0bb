"""A cell of the grid: one variant in one round, with all that identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from bench.machine.hardware import commit, machine, resolve_device, versions
from bench.measures.measure import Measure
from bench.records import file as record_file
from bench.runtimes.session import Runtime
from bench.sweep.conf import CONF, names
from bench.tasks import catalogue
from variants.cache import Cache
from variants.configure import configure, nearest
from variants.errors import UserError
from variants.model_folder import require_chat_template
from variants.paths import resolve
from variants.step import Planned, content_sha256, plan


@dataclass(frozen=True)
class Cell:
    """What to build and what to measure, and where the record goes; `key` is the identity of the whole."""

    variant: str
    round: int
    config: Mapping[str, Any]
    chain: list[Planned]
    reference: list[Planned]
    device: str
    measures: tuple[str, ...]
    commit: Mapping[str, Any]
    machine: Mapping[str, Any]
    key: str

    @property
    def cache(self) -> Cache:
        """Where artifacts, locks, job files and logs lie."""
        return Cache(resolve(self.config["cache_dir"]))

    @property
    def record_path(self) -> Path:
        """Where this cell's record stands or will stand."""
        results, sweep = resolve(self.config["results_dir"]), self.config["sweep_suffix"]
        return record_file.record_path(results, self.machine["id"], self.commit, sweep, self.variant, self.round)

    @property
    def builds(self) -> list[Planned]:
        """The steps of all that measuring this cell needs, parents first, each named once."""
        return list({planned.fingerprint: planned for planned in [*self.chain, *self.reference]}.values())

    @property
    def fingerprint(self) -> str:
        """The identity of the artifact that is measured."""
        return self.chain[-1].fingerprint

    def finished(self) -> dict[str, Any] | None:
        """Return this very cell's record if it is there and did not fail."""
        found = record_file.read(self.record_path)
        return found if found and found.get("cell") == self.key and found.get("status") == "ok" else None


def make_cell(config: Mapping[str, Any]) -> Cell:
    """Check a composed configuration and make its cell.

    Raises UserError for anything in it that cannot run: nothing has been built by then.
    """
    variant = config["variant"]
    name, runtime_name = variant["name"], variant["runtime"]
    device = resolve_device(config["device"])
    if runtime_name not in config["runtime"]:
        raise UserError(f"variant {name}: unknown runtime {runtime_name!r}; {nearest(runtime_name, config['runtime'])}")
    runtime: Runtime = configure(config["runtime"][runtime_name], f"runtime.{runtime_name}")
    if device == "cuda":
        runtime.check_cuda()
    chain = plan(name, variant["steps"], config["steps"], device)
    last = chain[-1]
    if last.step.gives not in runtime.opens:
        raise UserError(
            f"variant {name}: runtime {runtime_name} opens {', '.join(runtime.opens)}, but its last step "
            f"{last.name!r} gives {last.step.gives}; change its steps or its runtime"
        )
    suite, round_ = config["suite"], int(config["round"])
    for measure in suite["measures"]:
        if measure not in names("measure"):
            raise UserError(f"suite.measures: unknown measure {measure!r}; {nearest(measure, names('measure'))}")
    chosen = tuple(m for m in suite["measures"] if round_ == 0 or m not in suite["once"])
    configured: dict[str, Measure] = {name: configure(config[name], name) for name in chosen}
    if getattr(configured.get("accuracy"), "chat_template", False):
        require_chat_template(resolve(config["model"]["path"]))
    reference = _reference(configured.get("divergence"), config, runtime_name, device)
    checkout = commit()
    identity = [
        last.fingerprint,
        [planned.fingerprint for planned in reference[:-1]],
        {"runtime": config["runtime"][runtime_name], "versions": versions(runtime.tools), "device": device},
        {name: [versions(m.tools), _measure_identity(m)] for name, m in configured.items()},
        round_,
        checkout["tree"],
    ]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
    return Cell(name, round_, config, chain, reference, device, chosen, checkout, machine(), key)


def _reference(measure: Any, config: Mapping[str, Any], runtime: str, device: str) -> list[Planned]:
    """Plan what the runtime's base makes of the text that `divergence` asks for; nothing where it is not measured."""
    if measure is None:
        return []
    variant = measure.base.get(runtime)
    if variant not in names("variant"):
        raise UserError(
            f"divergence.base.{runtime}: got {variant!r}, allowed: a variant; {nearest(str(variant), names('variant'))}"
        )
    described = yaml.safe_load((CONF / "variant" / f"{variant}.yaml").read_text())
    if described["runtime"] != runtime:
        raise UserError(f"divergence.base.{runtime}: got {variant!r}, allowed: a variant that runs in {runtime}")
    steps = described["steps"]
    content = catalogue.content(measure.tasks, resolve(measure.data_dir) if measure.data_dir else None)
    node = measure.reference_step(variant, config["runtime"][runtime], {} if measure.text else content)
    return plan(
        f"{variant}, the base of divergence", [*steps, "logprobs"], {**config["steps"], "logprobs": node}, device
    )


def _measure_identity(measure: Measure) -> dict[str, Any]:
    """Return a measure's fields, with the content of the data files behind them in place of their paths."""
    values: dict[str, Any] = {}
    for field in fields(measure):  # type: ignore[arg-type]
        value = getattr(measure, field.name)
        values[field.name] = content_sha256(value) if field.metadata.get("content") and value else value
    if tasks := values.get("tasks"):
        data_dir = values.pop("data_dir", None)
        values["tasks"] = [catalogue.label(name) for name in tasks]
        values["content"] = catalogue.content(tasks, resolve(data_dir) if data_dir else None)
    return values
