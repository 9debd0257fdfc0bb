"""The keys of a launcher that are amounts: what is refused, and what a key that is null is filled in with."""

from __future__ import annotations

from bench.machine.gpu import chosen_gpus
from bench.machine.places import jobs_at_once
from bench.sweep import ray_cluster
from bench.sweep.plan.cell import Pass
from bench.sweep.plan.settings import Settings
from bench.sweep.ray_cluster import Machine
from variants.errors import UserError
from variants.process import usable_cores

LEAST = {"jobs": 1, "cpus": 1, "gpus": 0, "timeout_min": 1, "memory_gb": 1}
"""The amounts among the keys of all launchers, and the least that each may be."""
PARTS = ("cpus", "gpus")
"""What Ray also counts in parts of one."""
LEAST_PART = 0.0001
"""Ray raises an error for a smaller one."""


def check_amounts(settings: Settings) -> None:
    """Raise UserError for a key of `launcher` that is no amount, or that Ray would wait for in silence or not heed."""
    for name, least in LEAST.items():
        value = settings.launcher.get(name)
        in_parts = name in PARTS and _is_ray(settings)
        is_part = in_parts and isinstance(value, float) and LEAST_PART <= value < 1
        is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if value is not None and not is_part and not is_whole:
            or_part = f", or a part of 1 from {LEAST_PART} on" if in_parts else ""
            raise UserError(f"launcher.{name}: got {value!r}, allowed: a whole number from {least} on{or_part}")
    if _is_ray(settings) and settings.spans_machines and (jobs := settings.launcher.get("jobs")) is not None:
        raise UserError(
            f"launcher.jobs: got {jobs}, allowed here: null; as many cells run on a Ray cluster as have their "
            "launcher.cpus and launcher.gpus there"
        )
    if _is_ray(settings) and not settings.spans_machines:
        asked = _asked(settings, "deterministic")
        if asked["cpus"] > asked["jobs"]:
            raise UserError(
                f"launcher.cpus: got {asked['cpus']:g}, allowed: at most launcher.jobs, which is {asked['jobs']:g}: "
                "on this machine Ray counts a core for each cell that runs at once"
            )
        if asked["gpus"] > (n_cards := len(chosen_gpus(settings.device))):
            raise UserError(f"launcher.gpus: got {asked['gpus']:g}, allowed: at most {n_cards}, the GPUs of this run")


def filled(settings: Settings, pass_: Pass) -> list[str]:
    """Return the overrides of the keys of `launcher` that are null and that the plan knows."""
    known = _known(settings, pass_)
    empty = [key for key, value in settings.launcher.items() if value is None and known.get(key) is not None]
    return [f"launcher.{key}={known[key]}" for key in empty]


def capped(settings: Settings, pass_: Pass, n_cells: int) -> list[str]:
    """Return the override by which joblib starts no more processes than there are cells; none for other launchers."""
    if "jobs" not in settings.launcher or settings.spans_machines or _is_ray(settings):
        return []
    most = max(2, n_cells)  # joblib runs a single job in its own process: a death there would end the sweep
    return [f"launcher.jobs={min(int(_asked(settings, pass_)['jobs']), most)}"]


def note_of_too_much(settings: Settings, pass_: Pass) -> str:
    """Say that no machine of a Ray cluster has what a job of a pass asks for: Ray waits for one in silence.

    Empty where one has it, or where no cluster was joined.
    """
    machines, asked = _machines(settings), _asked(settings, pass_)
    cores, cards = asked["cpus"], asked["gpus"]
    if not machines or any(one.cores >= cores and one.cards >= cards for one in machines):
        return ""
    enough = [one for one in machines if one.cards >= cards]
    most = max(enough, key=lambda one: one.cores) if enough else max(machines, key=lambda one: one.cards)
    return (
        f"a job asks Ray for launcher.cpus={cores:g} and launcher.gpus={cards:g}, the largest machine of the cluster "
        f"has {most.cores} cores and {most.cards} GPUs: jobs wait until a larger one joins; those that ask for less run"
    )


def _asked(settings: Settings, pass_: Pass) -> dict[str, float]:
    """Return the amounts that a job asks for, typed or filled in: 0 of what it does not ask for."""
    typed = {key: value for key, value in settings.launcher.items() if key in LEAST and value is not None}
    amounts = _known(settings, pass_) | typed
    return {key: value if isinstance(value, (int, float)) else 0 for key, value in amounts.items()}


def _known(settings: Settings, pass_: Pass) -> dict[str, object]:
    """Return what the plan knows of the keys of a launcher.

    As many cells run at once on this machine as it has places on cards and for builds, and the locks of the places
    divide these. On a cluster a job gets one card, or all where the model is split, and the share of the cores that
    goes with it; in the first pass two jobs of Ray get the same card, so that it has work while one builds on the CPU.
    """
    cards, cores = len(chosen_gpus(settings.device)), usable_cores()
    jobs = jobs_at_once(cards, cores, settings.spread) if pass_ == "deterministic" else max(1, cards)
    if not settings.spans_machines:
        # For null Ray itself would join RAY_ADDRESS or a cluster that it finds, whose machines were not asked.
        return {"address": "local", "jobs": jobs, "gpus": 0 if cards else None, "cpus": 1}
    turns = 2 if pass_ == "deterministic" and _is_ray(settings) and settings.spread == "none" else 1
    needed = cards if settings.spread == "layers" else min(1, cards)
    able = [one for one in _machines(settings) if one.cores and one.cards >= needed] or [Machine(cores, cards)]
    if cards:  # the smallest share, so that each machine with the cards can run a job
        cpus = min(one.cores // (one.cards // needed * turns) for one in able)
    else:  # a small machine among large ones must not bring many jobs onto these: they would wait for each other
        cpus = min(cores, max(one.cores for one in able))
    return {"jobs": jobs, "gpus": (needed if turns == 1 else needed / turns) if cards else None, "cpus": max(1, cpus)}


def _is_ray(settings: Settings) -> bool:
    return "address" in settings.launcher


def _machines(settings: Settings) -> list[Machine]:
    return ray_cluster.machines() if settings.spans_machines and _is_ray(settings) else []
