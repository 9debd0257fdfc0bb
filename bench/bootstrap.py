"""Set up `.venv`: packages, llama.cpp built once, its GGUF converter. Needs only Python's standard library.

`python3 bench/bootstrap.py` may be interrupted and run again at any point: what is finished is kept.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "variantbench"
# The library and nothing else: no multimodal part, no command-line tools, no server. The package's own CMakeLists
# forces llama.cpp's "common" part on; a normal variable set this early wins over it (CMake policy CMP0126).
ONLY_THE_LIBRARY = "set(LLAMA_BUILD_COMMON OFF)\n"
CONVERTER = ("convert_hf_to_gguf.py", "conversion", "gguf-py")


def main(stamp: Path) -> None:
    """Set everything up, then touch `stamp`, which is what `make` looks at."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python runs this file first
        sys.exit(
            f"bootstrap: Python {platform.python_version()} is too old, 3.11 or newer is needed: make PYTHON=python3.12"
        )
    if subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode if PYTHON.exists() else True:
        say("creating .venv")
        run(sys.executable, "-m", "venv", "--clear", str(VENV))
    version = pinned("llama-cpp-python")
    source = unpacked_source(version)
    install_converter(source)
    if not installed_as_wanted(version):
        pip("install", "--force-reinstall", "--no-deps", str(wheel(version, source)))
    say("installing packages")
    pip("install", "-c", "constraints.txt", str(VENV / "llama.cpp" / "gguf-py"), "-e", ".[dev]")
    for old in VENV.glob("ready*"):
        old.unlink()
    stamp.touch()
    say("ready: make bench, make test, .venv/bin/bench doctor")


def wants_cuda() -> bool:
    """Return whether llama.cpp is built for CUDA: CUDA=0|1 decides, else whether there is a GPU device."""
    asked = os.environ.get("CUDA", "")
    if asked not in ("", "0", "1"):
        sys.exit(f"bootstrap: CUDA={asked}: allowed are 0 and 1, or nothing to go by the GPU device")
    return asked == "1" if asked else any(Path("/dev").glob("nvidia[0-9]*"))


def pinned(package: str) -> str:
    """Return the version of a package in constraints.txt."""
    line = re.search(rf"^{re.escape(package)}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return line[1] if line else sys.exit(f"bootstrap: constraints.txt does not pin {package}")


def unpacked_source(version: str) -> Path:
    """Download llama-cpp-python's source distribution and unpack it, once for all checkouts of this user."""
    target = CACHE / f"llama_cpp_python-{version}"
    if target.is_dir():
        return target
    say(f"fetching the source of llama-cpp-python {version}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        pip("download", "--no-deps", "--no-binary", ":all:", "-d", folder, f"llama-cpp-python=={version}")
        with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
            safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from Python 3.11.4
            archive.extractall(folder, **safe)  # type: ignore[arg-type]
        keep(Path(folder) / target.name, target)
    return target


def install_converter(source: Path) -> None:
    """Copy llama.cpp's HF-to-GGUF converter into .venv: the wheel does not have it."""
    target = VENV / "llama.cpp"
    partial = VENV / "llama.cpp.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name in CONVERTER:
        part = source / "vendor" / "llama.cpp" / name
        (shutil.copytree if part.is_dir() else shutil.copy2)(part, partial / name)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def wheel(version: str, source: Path) -> Path:
    """Build llama-cpp-python's wheel, or return the one built before with the same compiler flags on this CPU."""
    cuda = wants_cuda()
    flags = f"-DLLAVA_BUILD=OFF -DGGML_CUDA={'ON' if cuda else 'OFF'} {os.environ.get('CMAKE_ARGS', '')}".strip()
    kind = "cuda" if cuda else "cpu"
    target = CACHE / "wheels" / f"{version}-{kind}-{digest(flags, cpu_flags(), platform.machine())}"
    if not target.is_dir():
        say(f"building llama.cpp for {kind}: some minutes, once on this machine")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            include = Path(folder) / "only-the-library.cmake"
            include.write_text(ONLY_THE_LIBRARY)
            os.environ["CMAKE_ARGS"] = f"{flags} -DCMAKE_PROJECT_INCLUDE={include}"
            shutil.rmtree(source / "llama_cpp" / "lib", ignore_errors=True)  # an earlier build's, else packed again
            built = Path(folder) / "built"
            pip("wheel", "--no-deps", "-Cbuild.targets=llama", "-w", str(built), str(source))
            keep(built, target)
    return next(target.glob("*.whl"))


def installed_as_wanted(version: str) -> bool:
    """Return whether .venv already has this llama.cpp with the GPU support that is wanted."""
    probe = "import llama_cpp as l; print(l.__version__, bool(l.llama_supports_gpu_offload()))"
    done = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True)
    return done.stdout.split()[-2:] == [version, str(wants_cuda())]


def cpu_flags() -> str:
    """Return what the compiler's -march=native goes by: a wheel for another CPU may not run on this one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def digest(*parts: str) -> str:
    """Return a short name for some text."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def keep(made: Path, target: Path) -> None:
    """Give a finished folder its name, unless another set-up was faster."""
    try:
        made.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def pip(*arguments: str) -> None:
    """Run pip of .venv; its log is shown only where it fails."""
    run(str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments)


def run(*command: str) -> None:
    """Run a command; where it fails, exit with the end of its output."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit("\n".join([*done.stdout.splitlines()[-25:], f"bootstrap: failed: {' '.join(command)}"]))


def say(what: str) -> None:
    """Print what is being done."""
    print(f"setup: {what}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else VENV / "ready")
