"""Find all metrics: those of every file in this folder."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import bench.metrics
from bench.metrics.metric import Metric, Records

ORDER = ("size", "latency", "prefill", "memory", "accuracy", "divergence")
"""The files whose metrics come first, in reading order; all others follow by name."""


@cache
def templates() -> tuple[Metric, ...]:
    """Return all metrics; those of a task once, as a template."""
    names = {module.name for module in pkgutil.iter_modules(bench.metrics.__path__)}
    ordered = [*(name for name in ORDER if name in names), *sorted(names - set(ORDER))]
    modules = (import_module(f"{bench.metrics.__name__}.{name}") for name in ordered)
    return tuple(metric for module in modules for metric in getattr(module, "METRICS", ()))


def metrics_of(records: Records) -> list[Metric]:
    """Return the metrics that these records may have a value of, each task's own among them."""
    return [metric for template in templates() for metric in _made(template, records)]


def _made(template: Metric, records: Records) -> Iterator[Metric]:
    if template.tasks is None:
        yield template
    else:
        yield from (template.of(task) for task in template.tasks(records))


def measures() -> tuple[str, ...]:
    """Return the measures with a metric that a test judges."""
    return tuple(dict.fromkeys(metric.measure for metric in templates() if metric.test))


def kinds() -> tuple[str, ...]:
    """Return the names of the metrics that a test judges, those of a task without it."""
    return tuple(dict.fromkeys(metric.kind for metric in templates() if metric.test))
