"""How jobs divide the GPUs of a machine: one has a card for itself, or several share it as far as its memory goes.

Scoring leaves a card idle for most of its time, while libraries load and texts are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from time import sleep

from bench.machine.gpu import Gpu, free_bytes, process_bytes
from bench.machine.lock import Promise, any_held, held, held_alone, holder_of, place_lock, promise_of, promised

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
def all_held(
    cards: Sequence[Gpu], n_bytes: int, waiting: Callable[[str], None], pid: int | None
) -> Iterator[tuple[Gpu, ...]]:
    """Wait for all of some cards and hold them: places on them with so much memory, or for 0 bytes all of them."""
    with ExitStack() as stack:
        with ExitStack() as turns:
            for card in sorted(cards, key=lambda card: card.uuid):  # in one order for all jobs

                def wait(other: str, card: Gpu = card) -> None:
                    waiting(f"waiting for a GPU: {holder_of(_on(card)) or other}")

                turns.enter_context(held(_turn(card), wait, pid))
            while True:
                try:
                    for card in cards:
                        stack.enter_context(_room_on(card, n_bytes, pid))
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
    """Wait for one of some cards and hold it: a place on it with so much memory, or for 0 bytes all of it."""
    with ExitStack() as stack:
        with ExitStack() as kept:
            search = _Search(cards, n_bytes, pid, kept)
            while (card := search.once(stack)) is None:
                waiting(f"waiting for {search.reason}")
                sleep(ASK_SECONDS)
        yield (card,)


class _Search:
    """The search of a job for one of some cards, again and again until it has one.

    A card has one turn: the job that keeps it while the card is busy gets the card before any that comes later. A job
    keeps one turn at most, and takes another card if that can be had earlier. Of the jobs that want whichever whole
    card, one at a time keeps a turn, so that they do not empty all cards at once: of those whose cards have the same
    lowest UUID. A job without a turn looks as often, and may be overtaken. `kept` holds the turn.
    """

    def __init__(self, cards: Sequence[Gpu], n_bytes: int, pid: int | None, kept: ExitStack) -> None:
        self._cards, self._n_bytes, self._pid, self._kept = cards, n_bytes, pid, kept
        self._keeps_turns = bool(n_bytes) or len(cards) == 1
        self._own: Gpu | None = None
        self._turn = kept.enter_context(ExitStack())
        self.reason = ""

    def once(self, stack: ExitStack) -> Gpu | None:
        """Enter the first card that can be had now into `stack` and return it; None, with a `reason`, for none."""
        if not self._keeps_turns:
            self._keeps_turns = _entered(self._kept, _whole(self._cards), self._pid)
        self.reason = ""
        card = next((card for card in self._in_order() if self._tries(card, stack)), None)
        if not self.reason:
            first = self._cards[0]
            self.reason = f"a GPU: {holder_of(_on(first)) or holder_of(_turn(first)) or 'another job'}"
        return card

    def _tries(self, card: Gpu, stack: ExitStack) -> bool:
        """Enter a card into `stack` if it can be had now; else keep the turn at it, if that is worth more."""
        with ExitStack() as turn:
            if card != self._own and not _entered(turn, _turn(card), self._pid):
                return False
            try:
                stack.enter_context(_room_on(card, self._n_bytes, self._pid))
                return True
            except BusyError as busy:
                reason = str(busy)
            if self._keeps_turns and self._is_sooner(card):
                self._turn.close()
                self._own = card
                self._turn.enter_context(turn.pop_all())
            if card == self._own or not self.reason:
                self.reason = reason
        return False

    def _is_sooner(self, card: Gpu) -> bool:
        """Say whether a turn at a card is worth more than the one that is kept: none, or at a card held as a whole."""
        return self._own is None or (held_alone(_on(self._own)) and not held_alone(_on(card)))

    def _in_order(self) -> Sequence[Gpu]:
        """Return the cards in the order in which they are tried.

        A job that shares takes the card with more free memory; but while another one waits for a whole card, the card
        that most jobs share, so that other cards empty. A job that wants a whole card takes the one that fewest share.
        """
        if not self._n_bytes:
            return sorted(self._cards, key=_sharers)
        someone_waits = any(held_alone(_whole([card])) for card in self._cards)
        return sorted(self._cards, key=_sharers if someone_waits else _free_for_more, reverse=True)


def _entered(stack: ExitStack, lock: Path, pid: int | None) -> bool:
    """Hold a lock, if that is possible now; return whether it was."""
    try:
        stack.enter_context(held(lock, _refuse, pid))
    except BusyError:
        return False
    return True


def _room_on(card: Gpu, n_bytes: int, pid: int | None) -> AbstractContextManager[None]:
    """Hold a place on a card with so much memory, or for 0 bytes all of it. Raises BusyError where it is busy."""
    return _shared(card, n_bytes, pid) if n_bytes else held(_on(card), _refuse, pid)


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


def _whole(cards: Sequence[Gpu]) -> Path:
    """Return the lock of the job that waits for whichever of some cards is empty first."""
    return place_lock(f"gpu-{min(card.uuid for card in cards)}-whole")


def _refuse(holder: str) -> None:
    raise BusyError(f"a GPU: {holder}")
