"""Look at engines in processes of their own, apart from each other: one that cannot be loaded may end its process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import msgspec

from bench.commands.doctor.check import Check
from variants.child import start
from variants.paths import ROOT

SECONDS = 180
"""How long a look may take, on a busy machine and from a cold disk."""
LOOKS = (("llama.cpp",), ("torch", "bitsandbytes", "both at once"), ("plan",))
"""What each process looks at, in turn. `both at once` is llama.cpp loaded after torch, as where answers are scored."""
LLAMACPP = ("llama.cpp", "both at once", "plan")
AGAIN = "`make setup` builds llama.cpp again"


@contextmanager
def started(overrides: Sequence[str] = ()) -> Iterator[Iterator[Check]]:
    """Start the looks; yield what they answer, one check or more each, and for one that died why it did."""
    children = []
    for names in LOOKS:
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - read after its process has ended
        command = [sys.executable, "-m", "bench.commands.doctor.look", ",".join(names), *overrides]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, **start(offline=True))
        children.append((names, child, errors))
    try:
        yield (check for names, child, errors in children for check in _answers(names, child, errors))
    finally:
        for _, child, errors in children:
            child.kill()
            child.communicate()
            errors.close()


def _answers(names: Sequence[str], child: subprocess.Popen[bytes], errors: IO[bytes]) -> Iterator[Check]:
    """Yield what a process says of each name; of the first that it does not answer for, why."""
    try:
        printed, _ = child.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        printed, _ = child.communicate()
    answered = [msgspec.json.decode(line, type=list[Check]) for line in printed.splitlines() if line.startswith(b"[")]
    yield from (check for checks in answered for check in checks)
    if len(answered) < len(names):
        errors.seek(0)
        name = names[len(answered)]
        yield Check(name, why(name, child.returncode, errors.read().decode(errors="replace")), "bad")


def why(name: str, code: int, log: str) -> str:
    """Return why a process ended in place of an answer, and the cure."""
    if missing := re.search(r"([\w.+-]+\.so[\w.]*): cannot open shared object file", log):
        return f"does not load: the library {missing[1]} is missing; {_where(missing[1])}"
    if old := re.search(r"version [`']?((?:GLIBCXX|CXXABI)_[\d.]+)", log):
        cure = f"{AGAIN} with its own" if name in LLAMACPP else "use a Python that has a newer one"
        return f"does not load: Python's libstdc++ is too old, it lacks {old[1]}; {cure}"
    last = next((line.strip()[:300] for line in reversed(log.splitlines()) if line.strip()), "it printed nothing")
    if code >= 0:
        return f"broken: {last}"
    if -code == signal.SIGKILL:
        return f"killed, or no answer within {SECONDS} s; its last line: {last}"
    died = f"dies of {signal.Signals(-code).name} while it loads"
    if name in LLAMACPP and needs_shared_libstdcxx():
        return f"{died}: it was built to use the libstdc++ that Python has loaded, which is another one; {AGAIN}"
    return f"{died}; its last line: {last}; {AGAIN}" if name == "llama.cpp" else f"{died}; its last line: {last}"


def _where(library: str) -> str:
    """Return where a missing library comes from."""
    if library.startswith(("libcuda.", "libnvidia")):
        return "the GPU's driver has it: install the driver, or mount it into this container"
    if library.startswith(("libcu", "libnv", "libnccl")):
        return f"it is of the CUDA toolkit: put its folder in LD_LIBRARY_PATH, or {AGAIN} for the toolkit that is here"
    return f"install it, or {AGAIN}"


def llamacpp_libraries() -> Path:
    """Return the folder of llama.cpp's libraries, without loading them."""
    package = find_spec("llama_cpp")
    return Path(str(package.origin)).parent / "lib" if package else Path("missing")


def needs_shared_libstdcxx() -> bool:
    """Say whether llama.cpp was built to use the libstdc++ of the process; one of its own is linked in otherwise."""
    library = llamacpp_libraries() / "libllama.so"
    return library.is_file() and b"\0libstdc++.so" in library.read_bytes()
