"""What a job takes of the machine: a GPU or a part of its memory, a place to build, memory that fits, its cores."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from bench.machine import cards, places
from bench.machine import lock as lock_module
from bench.machine.gpu import chosen_gpus
from bench.machine.lock import held, holder_of, machine_held, machine_lock, place_lock
from bench.machine.places import Room, Taken, taken
from tests.made_up_cards import MadeUpCard, install
from variants.errors import UserError

CARD, BUILDER, CPU = Room(place="card", device="cuda"), Room(place="builder"), Room()
ALONE = Room(place="card", device="cuda", alone=True)


def build(gigabytes: int) -> Room:
    """Return what a build of so much memory needs."""
    return Room(place="builder", memory_bytes=gigabytes * 10**9)


def scoring(gigabytes: int) -> Room:
    """Return what scoring needs that takes so much of a card's memory."""
    return Room(place="card", device="cuda", card_bytes=gigabytes * 10**9)


class WaitedError(Exception):
    """Raised by a test instead of waiting, with what would have been waited for."""


def refuse(what: str) -> None:
    raise WaitedError(what)


def now(room: Room) -> AbstractContextManager[Taken]:
    """Take what a job needs; raise WaitedError where that is not there now."""
    return taken(room, refuse)


def start_waiting(room: Room) -> tuple[threading.Thread, list[tuple[str, ...]]]:
    """Have another job wait for what it needs; return it, and the list that gets its cards."""
    waits, got = threading.Event(), list[tuple[str, ...]]()

    def job() -> None:
        with taken(room, lambda _: waits.set()) as its:
            got.append(tuple(card.uuid for card in its.cards))

    thread = threading.Thread(target=job, daemon=True)
    thread.start()
    assert waits.wait(30)
    return thread, got


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of two GPUs and 16 cores whose locks lie in a folder of the test's own."""
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(lock_module, "FOR_ALL_USERS", (tmp_path,))
    monkeypatch.setattr(places, "usable_cores", lambda: 16)
    monkeypatch.setattr(cards, "ASK_SECONDS", 0.01)
    install(monkeypatch, tmp_path, MadeUpCard("GPU-a"), MadeUpCard("GPU-b", bus=1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")  # a variable that is set is put back after the test
    cores = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, cores)


@contextmanager
def in_its_own_process(room: Room) -> Iterator[Taken]:
    """Take what a job needs; as in another process, the environment of this one stays."""
    visible = os.environ["CUDA_VISIBLE_DEVICES"]
    with now(room) as got:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
        yield got


def on(number: int) -> Room:
    """Return what a job needs that shares one card."""
    return Room(place="card", device=f"cuda:{number}", card_bytes=1)


def whole(number: int) -> Room:
    """Return what a job needs that has one card for itself."""
    return Room(place="card", device=f"cuda:{number}")


def refused(room: Room) -> bool:
    """Say whether a job would have to wait now."""
    try:
        with in_its_own_process(room):
            return False
    except WaitedError:
        return True


def test_two_jobs_take_two_cards_and_a_third_one_waits_for_them() -> None:
    with in_its_own_process(CARD) as one, in_its_own_process(CARD) as two:
        assert {card.uuid for got in (one, two) for card in got.cards} == {"GPU-a", "GPU-b"}
        with pytest.raises(WaitedError, match=r"^waiting for a GPU: process \d+ \("), now(CARD):
            pass


def test_a_job_sees_its_own_card_and_a_build_of_the_cpu_sees_none() -> None:
    with now(CARD) as got:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == got.cards[0].uuid
    with now(BUILDER) as got:
        assert (got.cards, os.environ["CUDA_VISIBLE_DEVICES"]) == ((), "")


def test_cards_that_the_user_hides_and_does_not_name_are_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    with in_its_own_process(CARD) as got:
        assert [card.uuid for card in got.cards] == ["GPU-b"]
        with pytest.raises(WaitedError), now(CARD):
            pass
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=r"no NVIDIA GPU"), now(CARD):
        pass


def test_jobs_whose_memory_fits_share_a_card_and_the_freest_card_comes_first() -> None:
    with ExitStack() as running:
        got = [running.enter_context(in_its_own_process(scoring(gigabytes))) for gigabytes in (30, 20, 20, 20)]
        assert [one.cards[0].uuid for one in got] == ["GPU-a", "GPU-b", "GPU-b", "GPU-a"]
        full = r"^waiting for memory of the GPU: 40\.0 GB are needed, 39\.0 GB are free$"
        with pytest.raises(WaitedError, match=full), now(scoring(40)):
            pass
        with in_its_own_process(scoring(38)) as one:
            assert one.cards[0].uuid == "GPU-b"


def test_a_place_is_taken_again_after_a_job_that_ended_or_was_killed() -> None:
    for _ in range(2):
        with in_its_own_process(scoring(70)):
            pass
    with in_its_own_process(build(1)), in_its_own_process(build(1)):
        pass
    with in_its_own_process(build(1)), in_its_own_process(build(1)):
        pass
    place_lock("gpu-GPU-a-2").touch()
    place_lock("gpu-GPU-a-2").with_suffix(".bytes").write_text(f"{os.getpid()} {75 * 10**9}")  # nobody holds the place
    with in_its_own_process(scoring(30)), in_its_own_process(scoring(30)), in_its_own_process(scoring(30)):
        pass


def test_who_waits_for_one_card_keeps_nobody_from_another() -> None:
    first, second = (Room(place="card", device="cuda", turn=turn) for turn in range(2))
    with in_its_own_process(first):
        thread, got = start_waiting(first)
        with in_its_own_process(second) as other:
            assert other.cards[0].uuid == "GPU-b"
        assert got == []
    thread.join(30)
    assert got == [("GPU-a",)]


def test_a_split_model_waits_for_all_cards_and_keeps_none_meanwhile() -> None:
    split = Room(place="card", device="cuda", split="layers")
    with in_its_own_process(whole(1)):
        thread, got = start_waiting(split)
        assert got == []
    thread.join(30)
    assert got == [("GPU-a", "GPU-b")]


def test_no_more_than_four_jobs_share_a_card() -> None:
    small = on(0)
    with ExitStack() as running:
        for _ in range(4):
            running.enter_context(in_its_own_process(small))
        with pytest.raises(WaitedError, match=r"^waiting for a GPU: process "), now(small):
            pass


def test_a_job_of_unknown_memory_takes_a_card_that_nobody_shares() -> None:
    busy = pytest.raises(WaitedError, match=r"^waiting for a GPU: process ")
    with in_its_own_process(scoring(1)) as one, in_its_own_process(CARD) as whole:
        assert [got.cards[0].uuid for got in (one, whole)] == ["GPU-a", "GPU-b"]
        with busy, now(CARD):
            pass
        with in_its_own_process(scoring(1)) as other:
            assert other.cards[0].uuid == "GPU-a"


def test_nobody_overtakes_a_job_that_waits_for_a_card_to_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    with in_its_own_process(scoring(1)):
        thread, got = start_waiting(CARD)
        with pytest.raises(WaitedError, match=r"^waiting for a GPU: process "), now(scoring(1)):
            pass
        assert got == []
    thread.join(30)
    assert got == [("GPU-a",)]


def test_who_waits_for_a_card_to_empty_keeps_nobody_from_sharing_another() -> None:
    with ExitStack() as at_b:
        with ExitStack() as at_a:
            sharers = [one.enter_context(in_its_own_process(scoring(1))) for one in (at_a, at_b)]
            assert [one.cards[0].uuid for one in sharers] == ["GPU-a", "GPU-b"]
            thread, got = start_waiting(CARD)  # it has its turn at GPU-a
            with in_its_own_process(scoring(1)) as another:
                assert another.cards[0].uuid == "GPU-b"
            assert got == []
        thread.join(30)
    assert got == [("GPU-a",)]


def test_jobs_that_want_a_whole_card_keep_one_card_from_others_at_a_time() -> None:
    with ExitStack() as on_a, ExitStack() as running:
        assert on_a.enter_context(in_its_own_process(scoring(1))).cards[0].uuid == "GPU-a"
        for _ in range(2):
            running.enter_context(in_its_own_process(on(1)))
        first, got = start_waiting(CARD)  # at GPU-a, which fewer share
        second, also_got = start_waiting(CARD)
        with in_its_own_process(scoring(1)) as another:
            assert another.cards[0].uuid == "GPU-b"
        on_a.close()
        for thread in (first, second):  # the second one takes its turn when the first one has its card
            thread.join(30)
        assert (got, also_got) == ([("GPU-a",)], [("GPU-a",)])


def test_while_a_job_waits_for_a_whole_card_others_share_the_fullest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path, *(MadeUpCard(f"GPU-{name}", bus=bus) for bus, name in enumerate("abc")))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,GPU-c")
    with ExitStack() as running:
        for number in (0, 1, 1, 2):
            running.enter_context(in_its_own_process(on(number)))
        with in_its_own_process(scoring(1)) as another:
            assert another.cards[0].uuid in ("GPU-a", "GPU-c")
        thread, _ = start_waiting(CARD)
        with in_its_own_process(scoring(1)) as another:
            assert another.cards[0].uuid == "GPU-b"
    thread.join(30)


def test_a_job_that_waits_for_one_card_takes_another_that_is_free_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with in_its_own_process(on(0)), ExitStack() as on_b:
        for _ in range(2):
            on_b.enter_context(in_its_own_process(on(1)))
        thread, got = start_waiting(CARD)
        assert (refused(on(0)), refused(on(1))) == (True, False)  # its turn is at GPU-a, which fewer share
        on_b.close()
        thread.join(30)
        assert got == [("GPU-b",)]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")  # what the other job left to itself
        assert not refused(on(0))


def test_a_whole_card_is_waited_for_where_fewest_share_it_and_not_behind_a_job_that_has_it_as_a_whole() -> None:
    any_whole = partial(cards._Search, chosen_gpus("cuda"), 0, None)
    with in_its_own_process(on(0)), in_its_own_process(on(0)), in_its_own_process(on(1)), ExitStack() as kept:
        assert any_whole(kept).once(kept) is None
        assert (refused(on(0)), refused(on(1))) == (False, True)
    with in_its_own_process(whole(0)), in_its_own_process(on(1)), ExitStack() as kept:
        assert any_whole(kept).once(kept) is None
        assert refused(on(1))


def test_a_turn_behind_a_job_that_has_a_card_as_a_whole_is_given_up_for_one_at_a_card_that_is_shared() -> None:
    with ExitStack() as kept, in_its_own_process(whole(0)), ExitStack() as on_b:
        on_b.enter_context(in_its_own_process(whole(1)))
        search = cards._Search(chosen_gpus("cuda"), 0, None, kept)
        assert search.once(kept) is None
        on_b.close()
        on_b.enter_context(in_its_own_process(on(1)))  # another one was quicker
        assert search.once(kept) is None
        assert refused(on(1))
        with held(place_lock("gpu-GPU-a-turn"), refuse):
            pass  # the other turn is given back
        assert search.reason == f"a GPU: {holder_of(place_lock('gpu-GPU-b'))}"
        on_b.close()
        assert search.once(kept) == chosen_gpus("cuda")[1]


def test_a_job_that_wants_one_card_as_a_whole_takes_no_turn_from_those_that_take_any() -> None:
    first, second = chosen_gpus("cuda")
    with in_its_own_process(whole(0)), in_its_own_process(on(1)), ExitStack() as kept:
        assert cards._Search([first], 0, None, kept).once(kept) is None
        assert cards._Search([first, second], 0, None, kept).once(kept) is None
        assert refused(on(1))


def test_whole_cards_of_other_sets_are_waited_for_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path, *(MadeUpCard(f"GPU-{name}", bus=bus) for bus, name in enumerate("abcd")))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,GPU-c,GPU-d")
    every = chosen_gpus("cuda")
    with ExitStack() as running, ExitStack() as kept:
        for number in range(4):
            running.enter_context(in_its_own_process(on(number)))
        for some in (every[:2], every[2:]):
            assert cards._Search(some, 0, None, kept).once(kept) is None
        assert [refused(on(number)) for number in range(4)] == [True, False, True, False]


def test_nobody_overtakes_a_job_that_waits_for_memory() -> None:
    card = chosen_gpus("cuda:0")
    with in_its_own_process(Room(place="card", device="cuda:0", card_bytes=40 * 10**9)), ExitStack() as kept:
        search = cards._Search(card, 60 * 10**9, None, kept)
        assert search.once(kept) is None
        assert search.reason == "memory of the GPU: 60.0 GB are needed, 39.0 GB are free"
        assert refused(on(0))


def test_jobs_that_wait_for_whole_cards_of_others_keep_nobody_waiting() -> None:
    """One sweep may use GPU-a alone, another GPU-a and GPU-b: the second one's whole job takes the free card."""
    with in_its_own_process(on(0)):
        thread, got = start_waiting(whole(0))
        with in_its_own_process(CARD) as other:
            assert other.cards[0].uuid == "GPU-b"
        assert got == []
    thread.join(30)
    assert got == [("GPU-a",)]


def test_what_other_programs_hold_and_what_sharers_still_will_take_are_both_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = MadeUpCard("GPU-a", used_bytes=40 * 10**9)
    install(monkeypatch, tmp_path, card)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    full = pytest.raises(WaitedError, match=r"35\.0 GB are needed, 5\.0 GB are free")
    with in_its_own_process(scoring(35)):
        with full, now(scoring(35)):
            pass
        card.used_bytes += 35 * 10**9  # it has loaded its model
        card.processes[os.getpid()] = 35 * 10**9
        with in_its_own_process(scoring(5)):
            pass


def test_what_needs_more_than_is_counted_free_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, MadeUpCard("GPU-a", used_bytes=70 * 10**9))
    with now(scoring(20)) as got:  # what it needs is counted as high as can be
        assert got.cards[0].uuid == "GPU-a"


def test_a_model_that_is_split_takes_all_cards_and_a_named_one_takes_that() -> None:
    with in_its_own_process(Room(place="card", device="cuda", split="layers")) as got:
        assert [card.uuid for card in got.cards] == ["GPU-a", "GPU-b"]
        with pytest.raises(WaitedError), now(CARD):
            pass
    with now(whole(1)) as got:
        assert [card.uuid for card in got.cards] == ["GPU-b"]


def test_builds_of_the_cpu_run_beside_gpu_work_two_at_a_time_on_16_cores() -> None:
    with ExitStack() as running:
        for room in (CARD, BUILDER, BUILDER):
            running.enter_context(in_its_own_process(room))
        with pytest.raises(WaitedError, match=r"^waiting for a place on the CPU: "), now(BUILDER):
            pass


def test_all_work_of_a_machine_without_a_gpu_takes_one_place_and_every_core() -> None:
    cores = len(os.sched_getaffinity(0))
    with now(CPU):
        assert len(os.sched_getaffinity(0)) == cores
        with pytest.raises(WaitedError), now(CPU):
            pass


def test_jobs_of_several_gpus_run_on_their_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[list[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)))
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: pinned.append(sorted(cores)))
    with in_its_own_process(CARD), in_its_own_process(CARD):
        assert pinned == [[0, 1], [2, 3]]  # of equal size, or threads and so scores would differ
    pinned.clear()
    monkeypatch.setattr("bench.machine.places.usable_cores", lambda: 2)  # a container's quota
    with in_its_own_process(CARD), in_its_own_process(CARD):
        assert pinned == [[0], [1]]
    pinned.clear()
    with now(ALONE):
        assert pinned == []


def test_what_is_timed_alone_waits_for_all_and_takes_always_the_same_card() -> None:
    with (
        in_its_own_process(BUILDER),
        pytest.raises(WaitedError, match=r"^waiting for the machine: process "),
        now(ALONE),
    ):
        pass
    for _ in range(2):
        with in_its_own_process(ALONE) as got:
            assert [card.uuid for card in got.cards] == ["GPU-a"]
            with pytest.raises(WaitedError, match=r"^waiting for the machine: "), now(CARD):
                pass


def test_with_one_job_a_gpu_each_round_has_its_card() -> None:
    rounds = [Room(place="card", device="cuda", turn=turn) for turn in range(3)]
    with in_its_own_process(rounds[0]) as first, in_its_own_process(rounds[1]) as second:
        assert [got.cards[0].uuid for got in (first, second)] == ["GPU-a", "GPU-b"]
        with pytest.raises(WaitedError, match=r"^waiting for a GPU: "), now(rounds[2]):
            pass


def test_a_build_waits_for_memory_beside_others_and_never_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "available_bytes", lambda: 10 * 10**9)
    full = r"^waiting for memory: 8\.0 GB are needed, 0\.0 GB are free$"
    with in_its_own_process(build(1000)), pytest.raises(WaitedError, match=full), now(build(8)):
        pass
    large = r"^waiting for memory: 12\.0 GB are needed, 10\.0 GB are free$"
    with in_its_own_process(BUILDER):
        with in_its_own_process(build(8)):
            pass
        with pytest.raises(WaitedError, match=large), now(build(12)):
            pass


def test_a_build_that_was_killed_keeps_no_other_waiting_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "available_bytes", lambda: 10 * 10**9)
    killed = subprocess.Popen(["true"])
    killed.wait()
    place = machine_lock().with_name("variantbench.builder-1.lock")
    place.write_text(f"process {killed.pid} (bench), since 00:00")
    place.with_suffix(".bytes").write_text(f"{killed.pid} {12 * 10**9}")
    with now(build(12)):
        pass


def test_who_wants_the_machine_alone_is_not_kept_from_it_by_those_that_share_it() -> None:
    order, waits, may_go = list[str](), threading.Event(), threading.Event()

    def alone() -> None:
        with machine_held(lambda _: waits.set(), shared=False):
            order.append("alone")

    def shared_later() -> None:
        with machine_held(lambda _: may_go.set(), shared=True):
            order.append("shared")

    first, second = threading.Thread(target=alone), threading.Thread(target=shared_later)
    with machine_held(refuse, shared=True), machine_held(refuse, shared=True):
        first.start()
        assert waits.wait(30)
        second.start()
        assert may_go.wait(30)  # it is behind the one that waits, although the lock itself could be shared
        assert order == []
    first.join()
    second.join()
    assert order == ["alone", "shared"]


def test_the_file_of_a_shared_lock_names_those_that_still_hold_it() -> None:
    lock, stated = machine_lock(), list[str]()
    with ExitStack() as outer, held(lock, refuse, shared=True):
        outer.enter_context(held(lock, refuse, shared=True))
        stated.append(lock.read_text())
    assert stated[0].startswith(f"process {os.getpid()} (")
    with ExitStack() as longer:
        longer.enter_context(held(lock, refuse, shared=True))
        with held(lock, refuse, shared=True, pid=1):
            pass
        assert lock.read_text() == "processes that share it"
    assert lock.read_text() == ""
