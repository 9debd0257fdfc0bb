"""Work in a thread beside other work, whatever memory there is for the thread."""

from __future__ import annotations

import _thread
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def beside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Do some work in a thread; yield what waits for its result, or does the work now where no thread has begun it.

    An executor would wait for ever for a thread that lacks the memory to begin (python/cpython#140746). At the end
    work that has begun is waited for: a process that ended meanwhile would take the thread out of a library.
    """
    todo, future = [work], Future[T]()
    del work  # what it holds, such as a model, is given back when it is done

    def once() -> None:
        try:
            mine = todo.pop()
        except IndexError:
            return
        try:
            made = mine()
        except BaseException as error:
            future.set_exception(error)
            return
        del mine
        future.set_result(made)

    def result() -> T:
        once()
        return future.result()

    with suppress(RuntimeError):  # no thread can be started
        _thread.start_new_thread(once, ())
    try:
        yield result
    finally:
        try:
            todo.pop()
        except IndexError:
            wait([future])
