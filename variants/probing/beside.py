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
    """Do some work in a thread, and yield a function that returns its result, or raises its error.

    Where no thread has begun the work by then, that function does it: a thread may lack the memory to begin, and an
    executor would wait for it for ever (python/cpython#140746). At the end work that has begun is waited for, since a
    process should not end while a library computes; an error of work whose result nobody asked for is dropped.
    """
    todo, future = [work], Future[T]()
    del work  # what it holds, such as a model, is given back when it is done

    def once() -> None:
        try:
            job = todo.pop()
        except IndexError:
            return
        try:
            outcome = job()
        except BaseException as error:
            future.set_exception(error)
            return
        del job
        future.set_result(outcome)

    def result() -> T:
        once()
        return future.result()

    with suppress(RuntimeError, MemoryError):  # no thread can be started
        _thread.start_new_thread(once, ())
    try:
        yield result
    finally:
        try:
            todo.pop()
        except IndexError:
            wait([future])
