"""Set-up: how llama.cpp is built for the cards that are here, and that it lives in one process with torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench import bootstrap
from bench.commands.doctor.engines import llamacpp_libraries, needs_shared_libstdcxx
from tests.conftest import make
from variants.child import start
from variants.paths import ROOT

NVML = """
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = VERSION; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **card) { *card = (void *)(long)(index + 1); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *card, int *major, int *minor) {
    *major = (long)card == 3 ? 8 : 9; *minor = 0; return 0;
}
"""
"""A driver with three cards of compute capability 9.0, 9.0 and 8.0."""
NVCC = "#!/bin/sh\n[ $1 = --version ] && echo release 13.0, V13.0.88 || echo compute_80 compute_90\n"


def driver(folder: Path, cuda: int) -> bootstrap.Driver | None:
    """Compile a driver's library and ask it as set-up asks the real one."""
    source, library = folder / "nvml.c", folder / "libnvidia-ml.so.1"
    source.write_text(NVML)
    subprocess.run(["cc", "-shared", "-fPIC", f"-DVERSION={cuda}", "-o", library, source], check=True)
    return bootstrap.driver(str(library))


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a GPU's device, and nvcc of CUDA 13.0 in PATH."""
    (tmp_path / "nvidia0").touch()
    compiler = tmp_path / "nvcc"
    compiler.write_text(NVCC)
    compiler.chmod(0o755)
    monkeypatch.setattr(bootstrap, "DEVICES", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("CUDACXX", "CMAKE_ARGS", "CUDA", "CUDA_HOME", "CUDA_PATH", "LDFLAGS"):
        monkeypatch.setenv(name, "")
    return tmp_path


def set_driver(monkeypatch: pytest.MonkeyPatch, found: bootstrap.Driver | None) -> None:
    monkeypatch.setattr(bootstrap, "driver", lambda: found)


def test_llamacpp_is_built_for_each_kind_of_card_once(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_driver(monkeypatch, driver(box, 13000))
    kind, flags = bootstrap.planned_build()
    assert kind == "cuda13.0-80-90"
    assert {"-DGGML_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES=80;90"} <= set(flags)
    assert os.environ["CUDACXX"] == str(box / "nvcc")
    monkeypatch.setenv("CMAKE_ARGS", "-DCMAKE_CUDA_ARCHITECTURES=75")
    assert bootstrap.planned_build()[0] == "cuda13.0-75"


def test_the_driver_is_asked_what_it_runs_and_each_kind_of_card_is_named_once(tmp_path: Path) -> None:
    assert driver(tmp_path, 12040) == bootstrap.Driver(12.4, (80, 90))
    assert bootstrap.driver(str(tmp_path / "missing.so")) is None


def test_an_older_driver_of_the_same_major_version_is_new_enough(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_driver(monkeypatch, driver(box, 13000))
    (box / "nvcc").write_text(NVCC.replace("13.0", "13.2"))
    assert bootstrap.planned_build()[0] == "cuda13.2-80-90"


@pytest.mark.parametrize(
    ("found", "environment", "said"),
    [
        (bootstrap.Driver(12.4, (90,)), {}, "the driver runs CUDA 12.4 at most, .* builds for CUDA 13.0: install"),
        (bootstrap.Driver(13.0, (70,)), {}, "a card here has compute capability 7.0, which .* does not build for"),
        (None, {}, "a GPU is here, and its driver does not answer"),
        (bootstrap.Driver(13.0, ()), {}, "a GPU's device is here, and its driver lists no card .*; CUDA=0 builds for"),
        (bootstrap.Driver(13.0, (90,)), {"CUDACXX": "/missing/nvcc"}, "/missing/nvcc --version names no CUDA release"),
        (bootstrap.Driver(13.0, (90,)), {"CUDA": "2"}, "CUDA=2: allowed are 0 and 1"),
        (bootstrap.Driver(13.0, (90,)), {"CXX": "/missing/c++"}, "no C.. compiler /missing/c.."),
    ],
)
def test_a_build_that_could_not_run_here_stops_in_one_line_before_it_begins(
    box: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: bootstrap.Driver | None,
    environment: Mapping[str, str],
    said: str,
) -> None:
    set_driver(monkeypatch, found)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f"^bootstrap: {said}[^\n]*$"):
        bootstrap.planned_build()


def test_a_gpu_machine_without_nvcc_is_no_reason_for_a_cpu_build(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_driver(monkeypatch, bootstrap.Driver(13.0, (90,)))
    monkeypatch.setattr("shutil.which", lambda name: None if name == "nvcc" else f"/usr/bin/{name}")
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with pytest.raises(SystemExit, match=r"needs nvcc, .* CUDA=0 builds for the CPU"):
        bootstrap.planned_build()


def test_a_compiler_is_no_gpu(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (box / "nvidia0").unlink()
    assert bootstrap.planned_build()[0] == "cpu"
    monkeypatch.setenv("CUDA", "1")
    set_driver(monkeypatch, None)
    with pytest.raises(
        SystemExit, match=r"CUDA=1, and no GPU is here to build for: .* CMAKE_ARGS=-DCMAKE_CUDA_ARCHITECTURES=90"
    ):
        bootstrap.planned_build()


def test_a_build_of_other_flags_is_not_taken_for_the_one_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = tmp_path / "lib/python3/site-packages/llama_cpp_python-1.dist-info/direct_url.json"
    origin.parent.mkdir(parents=True)
    origin.write_text(json.dumps({"url": "file:///cache/wheels/1-cpu-0ld/llama_cpp_python-1.whl"}))
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    assert not bootstrap.installed_from(Path("wheels/1-cpu-new"))
    assert bootstrap.installed_from(Path("wheels/1-cpu-0ld"))
    monkeypatch.setattr(bootstrap, "LOADS", "import os; os.abort()")
    assert not bootstrap.installed_from(Path("wheels/1-cpu-0ld"))


def test_set_up_installs_the_versions_that_were_tried_together() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = re.findall(r"variantbench\[([\w,-]+)\]", " ".join(extras["dev"]))
    lines = [line for extra in ["dev", *",".join(named).split(",")] for line in extras.get(extra, ())]
    wanted = {name_of(line) for line in [*project["dependencies"], *lines]} - {"variantbench"}
    pinned = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert wanted <= pinned, f"constraints.txt does not pin {wanted - pinned}"


def name_of(requirement: str) -> str:
    """Return a package's name as an index writes it."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-").replace(".", "-")


@pytest.mark.skipif(sys.platform != "linux", reason="libstdc++ is Linux's")
def test_exceptions_pass_between_libraries_that_have_a_libstdcxx_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "throws.cpp").write_text(
        "#include <stdexcept>\n#include <string>\nvoid fail() { throw std::runtime_error(std::to_string(42)); }\n"
    )
    (tmp_path / "catches.cpp").write_text(
        "#include <exception>\n#include <cstdlib>\nvoid fail();\n"
        'extern "C" int caught() { try { fail(); } catch (std::exception &e) { return atoi(e.what()); } return 0; }'
    )
    flags = ["-shared", "-fPIC", *bootstrap.OWN_LIBSTDCXX.split(), "-Wl,-rpath,$ORIGIN", "-L."]
    for name, needs in (("throws", []), ("catches", ["-lthrows"])):
        command = ["c++", f"{name}.cpp", "-o", f"lib{name}.so", *flags, *needs]
        subprocess.run(command, cwd=tmp_path, check=True)
    script = "import ctypes; print(ctypes.CDLL('./libcatches.so').caught())"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "42\n", done
    for name in ("throws", "catches"):
        assert b"libstdc++.so" not in (tmp_path / f"lib{name}.so").read_bytes()


TOGETHER = """
import sys
def use_torch():
    import torch
    torch.set_num_threads(1)
    assert float((torch.ones(8, 8) @ torch.ones(8, 8)).sum()) == 512
    try:
        torch.ones(3).reshape(2)
    except RuntimeError:
        return
    raise AssertionError
def use_llama_cpp():
    import llama_cpp
    model = llama_cpp.llama_model_load_from_file(sys.argv[2].encode(), llama_cpp.llama_model_default_params())
    assert model
    params = llama_cpp.llama_context_default_params()
    params.n_threads = params.n_threads_batch = 1
    context = llama_cpp.llama_init_from_model(model, params)
    batch = llama_cpp.llama_batch_get_one((llama_cpp.llama_token * 2)(1, 2), 2)
    assert llama_cpp.llama_decode(context, batch) == 0
    llama_cpp.llama_free(context)
    broken = sys.argv[2] + ".broken"
    open(broken, "wb").write(open(sys.argv[2], "rb").read()[:200])
    assert not llama_cpp.llama_model_load_from_file(broken.encode(), llama_cpp.llama_model_default_params())
uses = {"torch": use_torch, "llama_cpp": use_llama_cpp}
for name in sys.argv[1].split(","):
    uses[name]()
print("both work")
"""


@pytest.mark.parametrize("order", ["torch,llama_cpp,torch", "llama_cpp,torch,llama_cpp"])
def test_torch_and_llamacpp_compute_and_fail_properly_in_one_process(
    order: str, cache: Path, catalogue: dict[str, dict[str, object]]
) -> None:
    gguf = make(cache, catalogue, ["source", "gguf"]).gguf()
    command = [sys.executable, "-c", TOGETHER, order, str(gguf)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **start(offline=True))
    assert done.stdout == "both work\n", (done.returncode, done.stderr[-2000:])


@pytest.mark.skipif(not bootstrap.own_libstdcxx(), reason="no static libstdc++ here: the package libstdc++-static")
@pytest.mark.skipif(
    (llamacpp_libraries() / "libggml-cuda.so").exists(), reason="the driver's own libraries need a whole libstdc++"
)
def test_the_installed_llamacpp_loads_where_another_libstdcxx_is_loaded(tmp_path: Path) -> None:
    """The other one has nothing in it: an older one lacks less."""
    library = llamacpp_libraries() / "libllama.so"
    assert not needs_shared_libstdcxx(), "an older set-up has built llama.cpp: run make setup"
    (tmp_path / "empty.c").write_text("int empty;")
    command = ["cc", "-shared", "-Wl,-soname,libstdc++.so.6", "empty.c", "-o", "libstdc++.so.6"]
    subprocess.run(command, cwd=tmp_path, check=True)
    script = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).llama_backend_init(); print('loaded')"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", script, str(library)], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "loaded\n", done.stderr
