"""What llama.cpp writes to its log, which is where it says why something failed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

DEBUG, ERROR = 1, 4
"""ggml's levels of messages that only its developers read, and of errors (ggml.h, ggml_log_level)."""


@dataclass(frozen=True)
class Log:
    """The lines that llama.cpp logged, and those of them that are errors."""

    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return all that was logged."""
        return "".join(self.lines)

    @property
    def reason(self) -> str:
        """Return the first error, which the others follow from, else the last line."""
        stated = [line.strip() for line in self.errors or self.lines[-1:] if line.strip()]
        return stated[0] if stated else "it logged no message"


@contextmanager
def captured_log(shows: bool = True) -> Iterator[Log]:
    """Keep what llama.cpp logs meanwhile: only its log shows what it really put on the GPU and how much that took.

    It goes to standard error too, unless `shows` is false. Afterwards llama.cpp writes to standard error itself:
    llama-cpp-python's own callback would call into Python for every debug line of a timed request.
    """
    import llama_cpp

    log = Log()

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def keep(level: int, text: bytes, user_data: object) -> None:
        log.lines.append(text.decode(errors="replace"))
        if level == ERROR:
            log.errors.append(log.lines[-1])
        if shows and level != DEBUG:
            sys.stderr.write(log.lines[-1])

    llama_cpp.llama_log_set(keep, None)
    try:
        yield log
    finally:
        llama_cpp.llama_log_set(llama_cpp.llama_log_callback(0), None)


def offloads() -> bool:
    """Return whether llama.cpp can use a GPU. At its first look it would print the cards, across a line of progress."""
    import llama_cpp

    with captured_log(shows=False):
        return bool(llama_cpp.llama_supports_gpu_offload())
