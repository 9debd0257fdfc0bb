"""How jobs divide the GPUs of a machine: one has a card for itself, or several share it as far as its memory goes.

Scoring leaves a card idle for most of its time, while libraries load and texts are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import sleep

from bench.machine.gpu import Gpu, free_bytes, process_bytes
from bench.machine.lock import Promise, any_held, held, holder_of, place_lock, promise_of, promised

SHARERS = 4
"""Jobs that share a card at most."""
CORES_OF_A_SHARER = 4
"""A sweep starts no more jobs at once than there are cores for. Those of two sweeps may meet on a card all the same."""
ASK_SECONDS = 0.5
"""How often a job that waits for a card looks again."""


class BusyError(Exception):
    """A card cannot be had now; it says what is waited for."""


def jobs_on_cards(n_cards: int, cores: int, split: str) -> int:
    """Return how many jobs a sweep starts for its cards if memory does not bound them; with split=layers it is one."""
    if split == "layers":
        return 1
    return n_cards * min(SHARERS, max(1, cores // max(1, n_cards) // CORES_OF_A_SHARER))


@contextmanager
def cards_held(
    choices: Sequence[Sequence[Gpu]], n_bytes: int, waiting: Callable[[str], None], pid: int | None
) -> Iterator[tuple[Gpu, ...]]:
    """Wait for one card of each choice and hold them: places on them with so much memory, or for 0 bytes all of them.

    Whoever wants a card waits for its turn at it first, so that none is overtaken while a card empties for it.
    """
    with ExitStack() as stack:
        with _turns([card for choice in choices for card in choice], waiting, pid):
            while True:
                try:
                    cards = tuple(_chosen(stack, choice, n_bytes, pid) for choice in choices)
                    break
                except BusyError as busy:
                    stack.close()  # no job keeps one card while it waits for another
                    waiting(f"waiting for {busy}")
                sleep(ASK_SECONDS)
        yield cards


@contextmanager
def _turns(cards: Sequence[Gpu], waiting: Callable[[str], None], pid: int | None) -> Iterator[None]:
    """Wait until it is a job's turn at each of some cards, in one order for all jobs."""
    with ExitStack() as stack:
        for card in sorted(cards, key=lambda card: card.uuid):

            def wait(other: str, card: Gpu = card) -> None:
                waiting(f"waiting for a GPU: {holder_of(_on(card)) or other}")

            stack.enter_context(held(place_lock(f"gpu-{card.uuid}-turn"), wait, pid))
        yield


def _chosen(stack: ExitStack, choice: Sequence[Gpu], n_bytes: int, pid: int | None) -> Gpu:
    """Enter the first card that can be had, those with more free memory first. Raises BusyError where there is none."""
    reasons = []
    for card in sorted(choice, key=_free_for_more, reverse=True) if n_bytes else choice:
        try:
            stack.enter_context(_shared(card, n_bytes, pid) if n_bytes else held(_on(card), _refuse, pid))
            return card
        except BusyError as busy:
            reasons.append(busy)
    raise reasons[0]


@contextmanager
def _shared(card: Gpu, n_bytes: int, pid: int | None) -> Iterator[None]:
    """Hold a place on a card whose memory has room for a job; alone it always runs. Raises BusyError for no room."""
    with ExitStack() as stack:
        stack.enter_context(held(_on(card), _refuse, pid, shared=True))
        promises, free = _promises(card), _free_for_more(card)
        if promises and n_bytes > free:
            needed, left = n_bytes / 1e9, max(0, free) / 1e9
            raise BusyError(f"memory of the GPU: {needed:,.1f} GB are needed, {left:,.1f} GB are free")
        place = stack.enter_context(any_held(_places(card), _refuse, pid))
        stack.enter_context(promised(place, n_bytes))
        yield


def _free_for_more(card: Gpu) -> int:
    """Return the bytes that are free on a card, less what those that share it still will take.

    Where the driver does not say what a process holds, as in many containers, that counts twice: fewer share a card.
    """
    import pynvml

    try:
        return free_bytes(card) - sum(
            max(0, promise.n_bytes - (process_bytes(card, promise.pid) or 0)) for promise in _promises(card)
        )
    except pynvml.NVMLError:
        return 0  # a driver that does not say: one job after another


def _promises(card: Gpu) -> list[Promise]:
    return [promise for place in _places(card) if (promise := promise_of(place))]


def _places(card: Gpu) -> list[Path]:
    return [place_lock(f"gpu-{card.uuid}-{number}") for number in range(SHARERS)]


def _on(card: Gpu) -> Path:
    return place_lock(f"gpu-{card.uuid}")


def _refuse(holder: str) -> None:
    raise BusyError(f"a GPU: {holder}")
