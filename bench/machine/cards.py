"""How jobs divide the GPUs of a machine: one has a card for itself, or several share it as far as its memory goes.

Scoring leaves a card idle for most of its time, while libraries load and texts are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import sleep

from bench.machine.gpu import Gpu, free_bytes, process_bytes
from bench.machine.lock import Promise, any_held, held, holder_of, is_free, place_lock, promise_of, promised

SHARERS = 4
"""Jobs that share a card at most."""
CORES_OF_A_SHARER = 4
"""A sweep starts no more jobs at once than there are cores for. Those of two sweeps may meet on a card all the same."""
ASK_SECONDS = 0.5
"""How often a job that waits for a card looks again."""


class BusyError(Exception):
    """A card cannot be had now; it says what is waited for."""


class TurnError(BusyError):
    """Another job has its turn at the card."""


def jobs_on_cards(n_cards: int, cores: int, split: str) -> int:
    """Return how many jobs a sweep starts for its cards if memory does not bound them; with split=layers it is one."""
    if split == "layers":
        return 1
    return n_cards * min(SHARERS, max(1, cores // max(1, n_cards) // CORES_OF_A_SHARER))


@contextmanager
def all_held(
    cards: Sequence[Gpu], n_bytes: int, waiting: Callable[[str], None], pid: int | None
) -> Iterator[tuple[Gpu, ...]]:
    """Wait for all of some cards and hold them: places on them with so much memory, or for 0 bytes all of them."""
    with ExitStack() as stack:
        with ExitStack() as turns:
            for card in sorted(cards, key=lambda card: card.uuid):  # in one order for all jobs
                turns.enter_context(held(_turn(card), _waits_behind(card, waiting), pid))
            while True:
                try:
                    for card in cards:
                        stack.enter_context(_had(card, n_bytes, pid))
                    break
                except BusyError as busy:
                    stack.close()  # no job keeps one card while it waits for another
                    waiting(f"waiting for {busy}")
                sleep(ASK_SECONDS)
        yield tuple(cards)


@contextmanager
def one_held(
    cards: Sequence[Gpu], n_bytes: int, waiting: Callable[[str], None], pid: int | None
) -> Iterator[tuple[Gpu, ...]]:
    """Wait for one of some cards and hold it: a place on it with so much memory, or for 0 bytes all of it.

    Whoever waits has its turn at one card, where none overtakes it while that empties for it. It takes another one
    that can be had before, and keeps nobody from the others: of the jobs that want a whole card one at a time waits at
    a card.
    """
    with ExitStack() as stack:
        with ExitStack() as turns:
            if not n_bytes and len(cards) > 1:
                turns.enter_context(held(_whole(), _waits_behind(cards[0], waiting), pid))
            own: Gpu | None = None
            got: Gpu | None = None
            while got is None:
                busy: list[BusyError] = []
                for card in _in_order(cards, n_bytes):
                    with ExitStack() as trying:
                        try:
                            if card != own:
                                trying.enter_context(held(_turn(card), partial(_refuse_turn, card), pid))
                            got = stack.enter_context(_had(card, n_bytes, pid))
                            break
                        except BusyError as error:
                            busy.append(error)
                            if own is None and not isinstance(error, TurnError):
                                own = card
                                turns.enter_context(trying.pop_all())
                else:
                    waiting(f"waiting for {min(busy, key=lambda one: isinstance(one, TurnError))}")
                    sleep(ASK_SECONDS)
        yield (got,)


def _in_order(cards: Sequence[Gpu], n_bytes: int) -> Sequence[Gpu]:
    """Return the cards in the order in which they are tried.

    A job that shares takes the card with more free memory; but while one waits for a whole card, the card that is
    shared most, so that others empty. That one takes the card that is shared least.
    """
    if not n_bytes:
        return sorted(cards, key=_sharers)
    return sorted(cards, key=_free_for_more if is_free(_whole()) else _sharers, reverse=True)


@contextmanager
def _had(card: Gpu, n_bytes: int, pid: int | None) -> Iterator[Gpu]:
    """Hold a card, or a place on it. Raises BusyError where it cannot be had now."""
    with _shared(card, n_bytes, pid) if n_bytes else held(_on(card), _refuse, pid):
        yield card


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


def _sharers(card: Gpu) -> int:
    return len(_promises(card))


def _promises(card: Gpu) -> list[Promise]:
    return [promise for place in _places(card) if (promise := promise_of(place))]


def _places(card: Gpu) -> list[Path]:
    return [place_lock(f"gpu-{card.uuid}-{number}") for number in range(SHARERS)]


def _on(card: Gpu) -> Path:
    return place_lock(f"gpu-{card.uuid}")


def _turn(card: Gpu) -> Path:
    return place_lock(f"gpu-{card.uuid}-turn")


def _whole() -> Path:
    """Return the lock of the job that waits for whichever card empties first."""
    return place_lock("gpu-whole")


def _waits_behind(card: Gpu, waiting: Callable[[str], None]) -> Callable[[str], None]:
    """Return what is called with who has a turn: it says who has the card itself, where anybody does."""
    return lambda other: waiting(f"waiting for a GPU: {holder_of(_on(card)) or other}")


def _refuse_turn(card: Gpu, other: str) -> None:
    raise TurnError(f"a GPU: {holder_of(_on(card)) or other}")


def _refuse(holder: str) -> None:
    raise BusyError(f"a GPU: {holder}")
