"""`bench doctor`: what this machine has, what is wrong with it and the cure, and which models of a plan fit.

No engine is loaded here: each is looked at in a process that may die of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.commands.doctor.cards import cards
from bench.commands.doctor.check import Check
from bench.commands.doctor.engines import started
from bench.commands.doctor.machine import LOOKS
from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import parse

SIGNS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "bad": ("✗", "red")}


def doctor(overrides: Sequence[str] = ()) -> int:
    """Print a line per check; return 0 if the plan can run here, else 1.

    The plan is that of `bench run` with the same overrides. Raises UserError for overrides that it would refuse.
    """
    from bench.terminal import say

    if overrides:  # a mistake in them is one line, as of `bench run`, and not a fault of this machine
        request = parse(overrides)
        compose(request, request.variants[0] if request.variants else "base", 0, check=True)
    plan = "this plan" if overrides else "the embedded suite"
    ready = True
    for check in checks(overrides):
        sign, style = SIGNS[check.level]
        say(f" {check.name:<13} {check.text}", lead=sign, lead_style=style, under=" " * 16)
        ready &= check.level != "bad"
    say(f"{plan} can run here" if ready else f"{plan} cannot run here: see the lines with ✗")
    return 0 if ready else 1


def checks(overrides: Sequence[str] = ()) -> Iterator[Check]:
    """Look at everything: the machine, its cards, then the engines and the plan."""
    with started(overrides) as answers:  # they start now, and answer while the rest is looked at
        for look in LOOKS:
            yield _checked(look)
        yield from cards()
        yield from answers


def _checked(look: Callable[[], Check]) -> Check:
    try:
        return look()
    except Exception as error:  # whatever a look raises is the answer
        first = (str(error).splitlines() or [""])[0]
        return Check(look.__name__, f"broken: {type(error).__name__}: {first}", "bad")
