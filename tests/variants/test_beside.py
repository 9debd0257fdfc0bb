"""Work in a thread beside other work: done once, by whoever can, and its result or error comes out."""

from __future__ import annotations

import _thread
import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from variants.probing.beside import beside


class Model:
    """Something that work holds."""


def cannot_start(*_: object) -> int:
    raise RuntimeError("can't start new thread")


def ends_before_it_begins(*_: object) -> int:
    return 0


@pytest.mark.parametrize("start", [cannot_start, ends_before_it_begins])
def test_work_that_no_thread_has_begun_is_done_by_who_asks_for_its_result(
    start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", start)
    with beside(threading.get_ident) as result:
        assert result() == threading.get_ident()
    done: list[int] = []
    with beside(lambda: done.append(1)):  # nobody asks for the result
        pass
    assert done == []


def test_work_is_done_once_in_a_thread_and_gives_back_what_it_held() -> None:
    began, done = threading.Event(), list[int]()
    model = Model()
    held = weakref.ref(model)

    def work(_: Model) -> int:
        began.set()
        done.append(threading.get_ident())
        return len(done)

    with beside(partial(work, model)) as result:
        del model
        began.wait()
        assert [result(), result()] == [1, 1]
        assert held() is None
    assert threading.get_ident() not in done


def test_an_error_of_the_work_is_raised_where_its_result_is_asked_for() -> None:
    def fail() -> None:
        raise ValueError("of the work")

    with beside(fail) as result, pytest.raises(ValueError, match="of the work"):
        result()


def test_work_that_has_begun_is_waited_for_when_other_work_fails() -> None:
    began, failed, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        failed.wait()
        sum(range(1_000_000))
        ended.set()

    def fails() -> None:
        began.wait()
        failed.set()
        raise ValueError("of the other")

    with pytest.raises(ValueError, match="of the other"), beside(work):
        fails()
    assert ended.is_set()
