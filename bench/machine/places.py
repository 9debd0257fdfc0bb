"""What a job takes of this machine while it runs: the machine alone or shared, a card, a builder's place, memory.

Work of the first pass shares the machine. Each piece of it has a place of its own, so that no more of them use the CPU
than it has room for, and only those share a GPU whose memory it has. What is timed has the machine for itself, or a
card and its cores.
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

from bench.machine.gpu import Gpu, chosen_gpus, free_bytes, leave_only
from bench.machine.lock import any_held, held, machine_held, machine_lock
from variants.errors import UserError
from variants.process import available_bytes, usable_cores

CORES_OF_A_BUILDER = 8
CORES_OF_A_SHARER = 4
SHARERS = 4
"""Places on a card. Scoring leaves one idle for most of its time: while libraries load and texts are read."""
ASK_SECONDS = 1.0
"""How often a job that waits for memory looks again."""
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


def jobs_at_once(n_cards: int, cores: int) -> int:
    """Return how many jobs of the first pass have work at the same time: on the cards, and in the places for builds."""
    if not n_cards:
        return 2
    on_a_card = min(SHARERS, max(1, cores // n_cards // CORES_OF_A_SHARER))
    return n_cards * on_a_card + max(1, cores // CORES_OF_A_BUILDER)


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
    if room.split == "layers":
        wanted = [[card] for card in sorted(usable, key=lambda card: card.uuid)]  # the same order for each job
    else:
        wanted = [[usable[(room.turn or 0) % len(usable)]] if room.alone or room.turn is not None else list(usable)]
    with ExitStack() as stack:
        cards = tuple(one[0] for one in wanted)
        if not room.alone and room.card_bytes and room.split == "none":
            cards = (stack.enter_context(_place_on_a_card(wanted[0], room.card_bytes, waiting, pid)),)
        elif not room.alone:
            cards = tuple(stack.enter_context(_whole_card(choice, waiting, pid)) for choice in wanted)
        with _on_own_cores(usable.index(cards[0]), len(usable)) if _shares_cores(room, usable) else ExitStack():
            yield tuple(card for card in usable if card in cards)


@contextmanager
def _whole_card(choice: Sequence[Gpu], waiting: Waiting, pid: int | None) -> Iterator[Gpu]:
    """Hold all places of a card. Its first place comes first: nobody else can then wait for all of them."""
    first = {_on_card(card, 0): card for card in choice}

    def wait(other: str) -> None:
        waiting(f"waiting for a GPU: {other}")

    with ExitStack() as stack:
        card = first[stack.enter_context(any_held(list(first), wait, pid))]
        for number in range(1, SHARERS):
            stack.enter_context(held(_on_card(card, number), wait, pid))
        yield card


@contextmanager
def _place_on_a_card(choice: Sequence[Gpu], n_bytes: int, waiting: Waiting, pid: int | None) -> Iterator[Gpu]:
    """Hold one place of a card and the memory that goes with it; a card with fewer sharers comes first."""
    places = {_on_card(card, number): card for number in reversed(range(SHARERS)) for card in choice}
    with any_held(list(places), lambda other: waiting(f"waiting for a GPU: {other}"), pid) as place:
        card = places[place]
        others = [lock for lock, its_card in places.items() if its_card == card and lock != place]

        def free() -> int:
            promised = sum(granted[0] for other in others if (granted := _granted(other)))
            return min(_free_on(card), card.total_bytes - promised)

        with _memory(n_bytes, place, others, free, lambda what: waiting(f"{what} on the GPU")):
            yield card


def _free_on(card: Gpu) -> int:
    import pynvml

    try:
        return free_bytes(card)
    except pynvml.NVMLError:
        return 0  # a driver that does not say: one job after another


def _on_card(card: Gpu, number: int) -> Path:
    return _lock(f"gpu-{card.uuid}-{number}")


def _shares_cores(room: Room, usable: tuple[Gpu, ...]) -> bool:
    return not room.alone and room.split == "none" and len(usable) > 1


@contextmanager
def _on_own_cores(number: int, n: int) -> Iterator[None]:
    """Run on one of `n` equal shares of the cores alone, where the system can do that."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    each = len(cores) // n
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
    locks = [_lock(name) for name in names]
    with ExitStack() as stack:
        place = stack.enter_context(
            any_held(locks, lambda other: waiting(f"waiting for a place on the CPU: {other}"), pid)
        )
        others = [lock for lock in locks if lock != place]

        def free() -> int:
            return available_bytes() - sum(map(_still_to_take, others))

        stack.enter_context(_memory(room.memory_bytes, place, others, free, waiting))
        yield


@contextmanager
def _memory(
    n_bytes: int, place: Path, others: Sequence[Path], free_for_it: Callable[[], int], waiting: Waiting
) -> Iterator[None]:
    """Wait until the memory of a job fits beside what others still will take; a job alone always runs.

    What a job will need stands in a file of its place, because one that has just begun has taken nothing yet.
    """
    mine = _memory_file(place)
    try:
        while True:
            with held(_lock("memory"), lambda other: None):
                free = free_for_it()
                if not n_bytes or n_bytes <= free or not any(_granted(other) for other in others):
                    _write(mine, f"{os.getpid()} {n_bytes}")
                    break
            waiting(f"waiting for memory: {n_bytes / 1e9:,.1f} GB are needed, {max(0, free) / 1e9:,.1f} GB are free")
            sleep(ASK_SECONDS)
        yield
    finally:
        _write(mine, "")


def _granted(place: Path) -> tuple[int, int] | None:
    """Return what the job in a place may take and has taken, in bytes; None where none runs that was let in.

    A place may also be held by a job that waits for memory itself, and its lock may name a process that was killed.
    """
    with suppress(OSError, ValueError):
        pid, n_bytes = map(int, _memory_file(place).read_text().split())
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return n_bytes, pages * os.sysconf("SC_PAGE_SIZE")
    return None


def _still_to_take(place: Path) -> int:
    """Return the bytes that the job in a place will need and has not taken yet, 0 where nobody is there."""
    n_bytes, taken = _granted(place) or (0, 0)
    return max(0, n_bytes - taken)


def _write(file: Path, text: str) -> None:
    with suppress(OSError):  # where it cannot be written, others see the memory when it is taken
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        file.chmod(0o666)


def _memory_file(place: Path) -> Path:
    return place.with_suffix(".bytes")


def _lock(name: str) -> Path:
    """Return the lock of a place, in the folder of the machine's."""
    return machine_lock().with_name(f"variantbench.{name}.lock")
