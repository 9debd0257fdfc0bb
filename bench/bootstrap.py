"""Set up `.venv`: packages, llama.cpp built once, its GGUF converter. Needs only Python's standard library.

`python3 bench/bootstrap.py` may be interrupted and run again at any point: what is finished is kept.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "variantbench"
# The library and nothing else: no multimodal part, no command-line tools, no server. The package's own CMakeLists
# forces llama.cpp's "common" part on; a normal variable set this early wins over it (CMake policy CMP0126).
ONLY_THE_LIBRARY = "set(LLAMA_BUILD_COMMON OFF)\n"
CONVERTER = ("convert_hf_to_gguf.py", "conversion", "gguf-py")
# Each library of llama.cpp gets its own libstdc++ and hides it, so that neither an older one that Python brings along
# nor torch's is used in its place. libgcc stays shared: a hidden copy of it in each library aborts at the first
# exception that one of them throws and another catches.
OWN_LIBSTDCXX = "-static-libstdc++ -Wl,--exclude-libs,libstdc++.a"
DEVICES = Path("/dev")
ARCHITECTURES = "-DCMAKE_CUDA_ARCHITECTURES="
FOR_THE_CPU = "CUDA=0 builds for the CPU"
LOADS = "import llama_cpp as l; print(l.__version__, bool(l.llama_supports_gpu_offload()))"


@dataclass(frozen=True)
class Driver:
    """What the driver of NVIDIA's cards reports: the newest CUDA that it runs, and each compute capability, as 90."""

    cuda: float
    capabilities: tuple[int, ...]


def main(stamp: Path) -> None:
    """Set everything up, then touch `stamp`, which is what `make` looks at."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python runs this file first
        sys.exit(f"bootstrap: Python {platform.python_version()}: 3.11 or newer is needed: make PYTHON=python3.12")
    kind, flags = planned_build()
    if subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode if PYTHON.exists() else True:
        say("creating .venv")
        run(sys.executable, "-m", "venv", "--clear", str(VENV))
    version = pinned("llama-cpp-python")
    source = unpacked_source(version)
    install_converter(source)
    digest = hashlib.sha256("\0".join([*flags, cpu_flags(), platform.machine()]).encode()).hexdigest()
    target = CACHE / "wheels" / f"{version}-{kind}-{digest[:12]}"
    if not installed_from(target):
        if not target.is_dir():
            say(f"building llama.cpp for {kind}: some minutes, once on this machine")
            build(source, flags, target)
        pip("install", "--force-reinstall", "--no-deps", str(next(target.glob("*.whl"))))
    say("installing packages")
    pip("install", "-c", "constraints.txt", str(VENV / "llama.cpp" / "gguf-py"), "-e", ".[dev]")
    if not loads():
        sys.exit("bootstrap: llama.cpp is installed and does not load: .venv/bin/bench doctor shows why")
    for old in VENV.glob("ready*"):
        old.unlink()
    stamp.touch()
    say("ready: make bench, make test, .venv/bin/bench doctor")


def wants_cuda() -> bool:
    """Return whether llama.cpp is built for CUDA: CUDA=0|1 decides, else whether there is a GPU device."""
    asked = os.environ.get("CUDA", "")
    if asked not in ("", "0", "1"):
        sys.exit(f"bootstrap: CUDA={asked}: allowed are 0 and 1, or nothing to go by the GPU device")
    return asked == "1" if asked else has_gpu()


def has_gpu() -> bool:
    """Return whether a GPU's device is here; a compiler such as nvcc, or an installed library, proves nothing."""
    return any(DEVICES.glob("nvidia[0-9]*"))


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


def planned_build() -> tuple[str, list[str]]:
    """Return what llama.cpp is built for (cpu, cuda13.0-90) and CMake's flags; CMAKE_ARGS come last and win.

    Exits where a build for CUDA could not be made or could not run here.
    """
    asked = shlex.split(os.environ.get("CMAKE_ARGS", ""))
    flags = ["-DLLAVA_BUILD=OFF", *own_libstdcxx()]
    if not wants_cuda():
        return "cpu", [*flags, "-DGGML_CUDA=OFF", *asked]
    cards = driver()
    if cards is None and has_gpu():
        sys.exit(f"bootstrap: a GPU is here, and its driver does not answer: see what nvidia-smi says; {FOR_THE_CPU}")
    os.environ["CUDACXX"] = compiler = nvcc()  # CMake asks this variable first
    release = toolkit(compiler)
    if cards and int(release) > int(cards.cuda):  # of one major version, an older driver runs what a newer nvcc built
        sys.exit(
            f"bootstrap: the driver runs CUDA {cards.cuda} at most, and {compiler} builds for CUDA {release}: install "
            f"a driver for CUDA {int(release)}, or set CUDACXX to the nvcc of CUDA {int(cards.cuda)}; {FOR_THE_CPU}"
        )
    stated = next((flag.removeprefix(ARCHITECTURES) for flag in asked if flag.startswith(ARCHITECTURES)), "")
    built_for = stated or architectures(cards, compiler)
    kind = f"cuda{release}-{built_for.replace(';', '-')}"
    return kind, [*flags, "-DGGML_CUDA=ON", ARCHITECTURES + built_for, *asked]


def architectures(cards: Driver | None, compiler: str) -> str:
    """Return the architectures of the cards that are here, as CMake lists them.

    Not `native`: that follows CUDA_VISIBLE_DEVICES, and a kept wheel of one card would be taken for another's.
    """
    if cards is None or not cards.capabilities:
        why = "a GPU's device is here, and its driver lists no card" if has_gpu() else "CUDA=1, and no GPU is here"
        sys.exit(
            f"bootstrap: {why} to build for: name the compute capability of the cards it will run on, such as 9.0 of "
            f"an H100: CMAKE_ARGS={ARCHITECTURES}90; {FOR_THE_CPU}"
        )
    known = output(compiler, "--list-gpu-arch").split()
    for capability in cards.capabilities:
        if known and f"compute_{capability}" not in known:
            sys.exit(
                f"bootstrap: a card here has compute capability {capability / 10}, which {compiler} does not build "
                f"for (it knows {', '.join(known)}): set CUDACXX to the nvcc of another CUDA toolkit; {FOR_THE_CPU}"
            )
    return ";".join(map(str, cards.capabilities))


def driver(library: str = "libnvidia-ml.so.1") -> Driver | None:
    """Ask the driver of NVIDIA's cards (NVML, which sees all cards whatever CUDA_VISIBLE_DEVICES is); None without."""
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return None
    cuda, count, major, minor, card = *(ctypes.c_int() for _ in range(4)), ctypes.c_void_p()
    if nvml.nvmlInit_v2() or nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(cuda)):
        return None
    capabilities = set()
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    for index in range(count.value):
        failed = nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(card))
        if not (failed or nvml.nvmlDeviceGetCudaComputeCapability(card, ctypes.byref(major), ctypes.byref(minor))):
            capabilities.add(10 * major.value + minor.value)
    nvml.nvmlShutdown()
    newest = cuda.value // 1000 + cuda.value % 1000 / 100  # 12040 is CUDA 12.4
    return Driver(newest, tuple(sorted(capabilities)))


def nvcc() -> str:
    """Return the path of CUDA's compiler; exits where there is none."""
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    places = [home / "bin" / "nvcc" for home in (*homes, Path("/usr/local/cuda"))]
    named = os.environ.get("CUDACXX") or shutil.which("nvcc")
    path = named or next((str(place) for place in places if place.exists()), None)
    return path or sys.exit(
        "bootstrap: building for CUDA needs nvcc, which is neither in PATH nor in /usr/local/cuda: install the CUDA "
        f"toolkit, or set CUDACXX to its nvcc; {FOR_THE_CPU}"
    )


def toolkit(compiler: str) -> float:
    """Return the CUDA version that an nvcc builds for."""
    release = re.search(r"release (\d+\.\d+)", output(compiler, "--version"))
    if release is None:
        sys.exit(f"bootstrap: {compiler} --version names no CUDA release: set CUDACXX to nvcc; {FOR_THE_CPU}")
    return float(release[1])


def cxx() -> list[str]:
    """Return the command of the C++ compiler that set-up builds with: CXX, or c++."""
    return shlex.split(os.environ.get("CXX", "")) or ["c++"]


def own_libstdcxx() -> list[str]:
    """Return the flag that links libstdc++ into llama.cpp; none where the compiler has no static one, which is said."""
    if sys.platform != "linux":
        return []
    compiler = cxx()
    if not shutil.which(compiler[0]):
        sys.exit(f"bootstrap: no C++ compiler {compiler[0]}: install one, such as the package g++, or set CXX")
    if not Path(output(*compiler, "-print-file-name=libstdc++.a").strip()).is_absolute():
        say("no libstdc++.a: llama.cpp will use the libstdc++ that Python loads; the package libstdc++-static has it")
        return []
    linked = f"{os.environ.get('LDFLAGS', '')} {OWN_LIBSTDCXX}".strip()  # CMake reads LDFLAGS only without this flag
    return [f"-DCMAKE_SHARED_LINKER_FLAGS={linked}"]


def build(source: Path, flags: Sequence[str], target: Path) -> None:
    """Build llama-cpp-python's wheel into a folder of its own."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        include = Path(folder) / "only-the-library.cmake"
        include.write_text(ONLY_THE_LIBRARY)
        os.environ["CMAKE_ARGS"] = shlex.join([*flags, f"-DCMAKE_PROJECT_INCLUDE={include}"])
        shutil.rmtree(source / "llama_cpp" / "lib", ignore_errors=True)  # an earlier build's, else packed again
        built = Path(folder) / "built"
        # pip keeps the wheel of a folder by the folder's name alone: it would answer with that of other flags.
        pip("wheel", "--no-cache-dir", "--no-deps", "-Cbuild.targets=llama", "-w", str(built), str(source))
        keep(built, target)


def installed_from(target: Path) -> bool:
    """Return whether .venv has llama.cpp from the wheel in this folder, and it loads."""
    origins = VENV.glob("lib/python*/site-packages/llama_cpp_python-*.dist-info/direct_url.json")
    urls = [str(json.loads(file.read_text()).get("url", "")) for file in origins]
    return any(f"/{target.name}/" in url for url in urls) and loads()


def loads() -> bool:
    """Return whether the installed llama.cpp loads, in a process that may die of it."""
    return subprocess.run([PYTHON, "-c", LOADS], capture_output=True).returncode == 0


def cpu_flags() -> str:
    """Return what the compiler's -march=native goes by: a wheel for another CPU may not run on this one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


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


def output(*command: str) -> str:
    """Return what a command prints; empty where it is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout
    except OSError:
        return ""


def say(what: str) -> None:
    """Print what is being done."""
    print(f"setup: {what}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else VENV / "ready")
