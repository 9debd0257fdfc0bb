"""`bench doctor` says what is wrong and the cure, and survives an engine that does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from bench.commands.doctor import checks, doctor, engines, machine
from bench.commands.doctor.cards import cards
from bench.commands.doctor.check import Check
from bench.commands.doctor.engines import why
from bench.commands.doctor.fits import Place, compared, fits
from bench.machine.gpu import gpus, usable_gpus
from tests.made_up_cards import MadeUpCard, install
from variants.errors import UserError
from variants.paths import ROOT

OLD = "ImportError: /lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by libllama.so)"
MISSING = "RuntimeError: Failed to load 'libllama.so': {}: cannot open shared object file: No such file or directory"


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A llama_cpp that is imported in place of the installed one, and is nothing yet."""
    package = tmp_path / "llama_cpp"
    (package / "lib").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(engines, "llamacpp_libraries", lambda: package / "lib")
    monkeypatch.setattr(engines, "LOOKS", (("llama.cpp",),))
    return package


def looked() -> list[Check]:
    with engines.started() as answers:
        return list(answers)


@pytest.mark.parametrize(("keeps_none", "level"), [("", "ok"), ("1", "note")])
def test_packages_that_every_process_compiles_anew_are_named_with_the_cure(
    keeps_none: str, level: str, tmp_path: Path
) -> None:
    code = "from bench.commands.doctor.machine import python; check = python(); print(check.level, check.text)"
    anew = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": keeps_none}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **anew}, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"{level} {sys.version.split()[0]} in {sys.prefix}")
    assert ("; every process compiles torch, transformers, lm_eval anew: " in done.stdout) == bool(keeps_none)
    assert (f" -m compileall -q {Path(pytest.__file__).parents[1]}`" in done.stdout) == bool(keeps_none)


@pytest.mark.parametrize(
    ("compiler", "stated", "level"), [("g++", "", "note"), ("c++", "", "ok"), ("g++", "g++ -pipe", "ok")]
)
def test_the_compiler_is_the_one_that_set_up_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str, stated: str, level: str
) -> None:
    (tmp_path / compiler).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", stated)
    check = machine.compiler()
    assert check.level == level
    assert check.text.startswith(str(tmp_path / compiler) if level == "ok" else "no command c++: ")


def test_a_library_that_kills_its_process_is_one_line_with_the_cure(broken: Path) -> None:
    (broken / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    (broken / "lib" / "libllama.so").write_bytes(b"\0libstdc++.so.6\0")
    (check,) = looked()
    assert (check.name, check.level) == ("llama.cpp", "bad")
    assert check.text == (
        "dies of SIGSEGV while it loads: it was built to use the libstdc++ that Python has loaded, which is another "
        "one; `make setup` builds llama.cpp again"
    )
    (broken / "lib" / "libllama.so").write_bytes(b"it has its own")
    (broken / "__init__.py").write_text("import os, sys; print('GGML_ASSERT', file=sys.stderr, flush=True); os.abort()")
    assert [one.text for one in looked()] == [
        "dies of SIGABRT while it loads; its last line: GGML_ASSERT; `make setup` builds llama.cpp again"
    ]


def test_a_cpu_build_is_no_fault_without_a_gpu_and_what_a_library_prints_is_no_answer(broken: Path) -> None:
    (broken / "__init__.py").write_text(
        "import os; os.write(1, b'[native]\\n'); print('[{loading')\n"
        "__version__ = '0'\ndef llama_supports_gpu_offload(): return False"
    )
    assert looked() == [Check("llama.cpp", "llama-cpp-python 0, CPU build", "ok")]


def test_an_engine_that_never_answers_is_stopped(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (broken / "__init__.py").write_text("import time; time.sleep(600)")
    monkeypatch.setattr(engines, "SECONDS", 0)
    (check,) = looked()
    assert check.text.startswith("killed, or no answer within 0 s")


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (OLD, "Python's libstdc++ is too old, it lacks GLIBCXX_3.4.32; `make setup`"),
        (MISSING.format("libcudart.so.13"), "the library libcudart.so.13 is missing; it is of the CUDA toolkit"),
        (MISSING.format("libcuda.so.1"), "the library libcuda.so.1 is missing; the GPU's driver has it"),
        (MISSING.format("libgomp.so.1"), "the library libgomp.so.1 is missing; install it, or `make setup`"),
        ("a line\nModuleNotFoundError: No module named 'llama_cpp'\n", "No module named 'llama_cpp'"),
    ],
)
def test_what_keeps_a_library_from_loading_is_named_with_its_cure(log: str, cause: str) -> None:
    assert cause in why("llama.cpp", 1, f"Traceback (most recent call last):\n{log}")


def test_models_are_compared_with_the_memory_that_is_free_and_that_there_is() -> None:
    needed = {"q4": 2 * 10**9, "base": 7 * 10**9, "f32": 14 * 10**9}
    assert compared(Place("cuda:0", 8 * 10**9, 16 * 10**9), needed) == Check(
        "plan", "on cuda:0, 8.0 GB free, fit: base 7.0 GB, q4 2.0 GB; do not fit what is free now: f32 14.0 GB", "note"
    )
    assert compared(Place("cuda:0", 8 * 10**9, 12 * 10**9), needed).level == "bad"
    assert compared(Place("the CPU", 15 * 10**9, 16 * 10**9), needed).level == "ok"


def test_each_card_is_listed_with_what_it_can_and_has_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, MadeUpCard("GPU-a"), MadeUpCard("GPU-b", bus=1, used_bytes=60 * 10**9))
    monkeypatch.setattr(pynvml, "nvmlSystemGetCudaDriverVersion_v2", lambda: 12040)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCudaComputeCapability", lambda card: (9, 0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert list(cards()) == [
        Check("driver", "580.1, runs programs for CUDA 12.4 and older", "ok"),
        Check(
            "GPU 0",
            "NVIDIA H100, compute capability 9.0, 79.0 GB of 80.0 GB free, GPU-a; CUDA_VISIBLE_DEVICES leaves it out",
            "note",
        ),
        Check("cuda:0", "NVIDIA H100, compute capability 9.0, 20.0 GB of 80.0 GB free, GPU-b", "ok"),
    ]


def test_a_gpu_without_a_driver_is_no_machine_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path)
    (check,) = cards()
    assert (check.level, check.text.partition(" (")[0]) == ("bad", "here, but its driver does not answer")


@pytest.mark.skipif(not gpus(), reason="needs a GPU")
def test_on_a_gpu_machine_the_driver_the_cards_and_both_engines_work() -> None:
    looks = list(checks(["variant=base,q4,base-torch"]))
    texts = {check.name: check.text for check in looks}
    assert not [check for check in looks if check.level == "bad"]
    assert "compute capability" in texts["cuda:0"]
    assert usable_gpus()[0].uuid in texts["cuda:0"]
    assert "offloads to the GPU" in texts["llama.cpp"]
    assert [check.text for check in looks if check.name == "plan" and check.text.startswith("on cuda:0")]


def test_the_plan_that_is_typed_is_looked_at_and_a_mistake_in_it_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LOOKS", (("plan",),))
    typed = [f"cache_dir={tmp_path / 'cache'}", f"results_dir={tmp_path / 'results'}"]
    (check,) = [one for one in checks([*typed, "variant=base,q4", "device=cpu"]) if one.name == "plan"]
    assert check.level == "ok"
    assert "on the CPU" in check.text
    assert "base " in check.text
    assert "q4 " in check.text
    refused = [one for one in checks([*typed, "timing=per_gpu", "device=cpu"]) if one.name == "plan"]
    assert [(one.level, one.text) for one in refused] == [("bad", "timing: got 'per_gpu', allowed on a CPU: alone")]
    with pytest.raises(UserError, match=r"latency\.request: unknown key"):
        doctor(["latency.request=3"])


def test_doctor_itself_loads_no_engine() -> None:
    script = (
        "import sys; from bench.commands.doctor import doctor, engines; engines.LOOKS = ()\n"
        "doctor(); print(sorted({'torch', 'llama_cpp', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_of_a_random_model_that_is_not_made_doctor_says_which_variants_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path, MadeUpCard("GPU-a", "H100", total_bytes=40 * 10**9, used_bytes=30 * 10**9))
    monkeypatch.setattr("bench.runtimes.llamacpp.LlamaCpp.check_cuda", lambda _: None)
    monkeypatch.setattr("bench.sweep.plan.random_model.shutil.disk_usage", lambda _: SimpleNamespace(free=10**12))
    typed = ["suite=speed", "model=random-13b", "device=cuda", f"cache_dir={tmp_path / 'cache'}"]
    assert list(fits(typed)) == [
        Check("plan", "random-13b, 26.0 GB in 16 bits: `bench run` makes it, doctor does not", "note"),
        Check("plan", "`bench run` leaves f32 out: it needs 56.4 GB of GPU memory, and H100 has 40.0 GB", "note"),
        Check(
            "plan",
            "on cuda:0, 9.0 GB free, fit: q2 8.5 GB; do not fit what is free now: base 29.4 GB, q8 17.2 GB, "
            "q5 12.6 GB, q4 11.3 GB",
            "note",
        ),
    ]
    _, refused, compared = fits([*typed, "variant=f32,q4"])
    assert refused.level == compared.level == "bad"
    assert refused.text.startswith("variant f32: needs 56.4 GB of GPU memory")
    assert not (tmp_path / "cache").exists()
