"""What a job takes of this machine while it runs: the machine alone or shared, a card, a builder's place, memory.

Work of the first pass shares the machine. Each piece of it has a place of its own, so that no more of them use the CPU
than it has room for, and no more share a GPU than its memory has room for. What is timed has the machine for itself, or
a card and its cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Literal

from msgspec import Struct

from bench.machine.cards import all_held, jobs_on_cards, one_held
from bench.machine.gpu import Gpu, chosen_gpus, leave_only
from bench.machine.lock import Promise, any_held, held, machine_held, place_lock, promise_of, promised, take_back
from variants.errors import UserError
from variants.process import available_bytes, usable_cores

CORES_OF_A_BUILDER = 8
ASK_SECONDS = 1.0
"""How often a build that waits for memory looks again."""
Place = Literal["cpu", "builder", "card"]
Waiting = Callable[[str], None]


class Room(Struct, frozen=True, forbid_unknown_fields=True):
    """What a job needs.

    `alone`: no other job of this tool runs meanwhile. `place`: `card` is one GPU of those that `device` names, or with
    split=layers all of them; `builder` one of few places for work of the CPU beside GPUs; `cpu` the one place where all
    runs on the CPU. `turn` counts the cards up, for work that must not take whichever is free; it then has its share of
    the cores, and no others. `memory_bytes` is what it will need at most, as far as that is known. `card_bytes` is what
    it will need of a card, which it then shares with others; where that is 0 it has the card for itself.
    """

    place: Place = "cpu"
    alone: bool = False
    device: str = "cpu"
    split: str = "none"
    turn: int | None = None
    memory_bytes: int = 0
    card_bytes: int = 0


@dataclass(frozen=True)
class Taken:
    """What a job got: the cards that it sees, and the number of cores that it may use."""

    cards: tuple[Gpu, ...]
    cores: int


def jobs_at_once(n_cards: int, cores: int, split: str) -> int:
    """Return how many jobs of the first pass have work at the same time: on the cards, and in the places for builds."""
    return jobs_on_cards(n_cards, cores, split) + max(1, cores // CORES_OF_A_BUILDER) if n_cards else 2


@contextmanager
def taken(room: Room, waiting: Waiting, pid: int | None = None) -> Iterator[Taken]:
    """Wait until a job has what it needs, and hold that; the process then sees its own cards and cores alone.

    `waiting` gets what is waited for, again and again. Call it before any library of CUDA is loaded. The place comes
    first and the machine after it: who waits for a place keeps nobody waiting who needs the machine alone.
    """
    with ExitStack() as stack:
        cards: tuple[Gpu, ...] = ()
        if room.place == "card":
            cards = stack.enter_context(_cards(room, waiting, pid))
        elif not room.alone:
            stack.enter_context(_cpu_place(room, waiting, pid))
        alone = machine_held(lambda other: waiting(f"waiting for the machine: {other}"), pid, shared=not room.alone)
        stack.enter_context(alone)
        if cards or room.place == "builder":
            leave_only(cards)  # a build of the CPU takes no memory of a card
        yield Taken(cards, usable_cores())


@contextmanager
def _cards(room: Room, waiting: Waiting, pid: int | None) -> Iterator[tuple[Gpu, ...]]:
    """Hold the cards that a job gets. A job that is alone on the machine has the first one, always the same.

    Raises UserError where there is none.
    """
    usable = chosen_gpus(room.device, room.split)
    if not usable:
        raise UserError(f"device={room.device}: no NVIDIA GPU is left to this job; see CUDA_VISIBLE_DEVICES")
    choice = list(usable)
    if room.split == "none" and (room.alone or room.turn is not None):
        choice = [usable[(room.turn or 0) % len(usable)]]
    with ExitStack() as stack:
        if room.alone:
            cards = tuple(choice)
        else:
            wait_for = all_held if room.split == "layers" else one_held
            cards = stack.enter_context(wait_for(choice, room.card_bytes, waiting, pid))
        with _on_own_cores(usable.index(cards[0]), len(usable)) if _shares_cores(room, usable) else ExitStack():
            yield tuple(card for card in usable if card in cards)


def _shares_cores(room: Room, usable: tuple[Gpu, ...]) -> bool:
    return not room.alone and room.split == "none" and len(usable) > 1


@contextmanager
def _on_own_cores(number: int, n: int) -> Iterator[None]:
    """Run on one of `n` equal shares of the cores alone, where the system can do that; a quota is shared too."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    each = min(len(cores), usable_cores()) // n
    if not each:
        yield
        return
    os.sched_setaffinity(0, cores[number * each : (number + 1) * each])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def _cpu_place(room: Room, waiting: Waiting, pid: int | None) -> Iterator[None]:
    """Hold a place for work of the CPU, and the memory that it needs."""
    n = max(1, usable_cores() // CORES_OF_A_BUILDER)
    names = ["cpu"] if room.place == "cpu" else [f"builder-{i}" for i in range(n)]
    locks = [place_lock(name) for name in names]
    with ExitStack() as stack:
        place = stack.enter_context(
            any_held(locks, lambda other: waiting(f"waiting for a place on the CPU: {other}"), pid)
        )
        others = [lock for lock in locks if lock != place]
        stack.enter_context(_memory(room.memory_bytes, place, others, waiting))
        yield


@contextmanager
def _memory(n_bytes: int, place: Path, others: Sequence[Path], waiting: Waiting) -> Iterator[None]:
    """Wait until the memory of a build fits beside what others still will take; a build alone always runs."""
    take_back(place)
    with ExitStack() as stack:
        while True:
            with held(place_lock("memory"), lambda other: None):
                promises = [promise for other in others if (promise := promise_of(other))]
                free = available_bytes() - sum(map(_still_to_take, promises))
                if not n_bytes or n_bytes <= free or not promises:
                    stack.enter_context(promised(place, n_bytes))
                    break
            waiting(f"waiting for memory: {n_bytes / 1e9:,.1f} GB are needed, {max(0, free) / 1e9:,.1f} GB are free")
            sleep(ASK_SECONDS)
        yield


def _still_to_take(promise: Promise) -> int:
    with suppress(OSError):
        return max(0, promise.n_bytes - promise.resident_bytes())
    return promise.n_bytes  # a process of another container
