"""The process that looks at engines: `python -m bench.commands.doctor.look NAMES [KEY=VALUE …]`.

It prints a line of JSON, a list of checks, for each of the names with commas between. What it does not survive, the
parent explains.
"""

from __future__ import annotations

import mmap
import os
import re
import sys
from collections.abc import Callable, Sequence

import msgspec

from bench.commands.doctor.cards import capability_of, driver_cuda
from bench.commands.doctor.check import Check
from bench.commands.doctor.engines import llamacpp_libraries, needs_shared_libstdcxx
from bench.machine.gpu import usable_gpus
from bench.machine.hardware import versions


def torch() -> list[Check]:
    """Look at torch and at the device it would use."""
    import torch

    version = f"{torch.__version__}"
    if torch.cuda.is_available():
        return [Check("torch", f"{version}, runs on {torch.cuda.get_device_name(0)}", "ok")]
    if not usable_gpus():
        return [Check("torch", f"{version}, runs on CPU", "ok")]
    try:
        torch.zeros(1, device="cuda")
        reason = "it says no more"
    except Exception as error:  # torch knows why: no CUDA in this build, or the driver
        reason = str(error).splitlines()[0]
    text = f"{version}, does not see the GPU ({reason}): install a torch for CUDA {driver_cuda():.1f} or older; until "
    return [Check("torch", text + "then only device=cpu runs", "bad")]


def bitsandbytes() -> list[Check]:
    """Quantize a small tensor to NF4 and back: a library that loads may still be unable to work."""
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(torch.ones(64, 64), quant_type="nf4")
    works = bool(torch.allclose(dequantize_4bit(packed, state), torch.ones(64, 64)))
    text = f"{versions(['bitsandbytes'])['bitsandbytes']}, NF4 " + ("works" if works else "gives wrong values")
    return [Check("bitsandbytes", text, "ok" if works else "bad")]


def llamacpp() -> list[Check]:
    """Look at the llama.cpp build."""
    import llama_cpp

    text = f"llama-cpp-python {llama_cpp.__version__}" + (
        ", uses Python's libstdc++" if needs_shared_libstdcxx() else ""
    )
    if not llama_cpp.llama_supports_gpu_offload():
        cards = usable_gpus()
        reason = f", but sees no GPU: {_why_unseen()}" if cards else ""
        return [Check("llama.cpp", f"{text}, CPU build" if not reason else text + reason, "bad" if reason else "ok")]
    system = llama_cpp.llama_print_system_info().decode()
    built_for = [int(one) / 100 for one in re.findall(r"\d+", (re.findall(r"ARCHS = ([\d,]+)", system) or [""])[0])]
    older = [gpu.name for gpu in usable_gpus() if built_for and 0 < capability_of(gpu) < min(built_for)]
    if older:
        least = f"compute capability {min(built_for)} and later"
        return [Check("llama.cpp", f"{text}, built for {least}, and {older[0]} is older: run `make setup`", "bad")]
    return [Check("llama.cpp", f"{text}, offloads to the GPU", "ok")]


def _why_unseen() -> str:
    """Return why llama.cpp sees no GPU though there is one, and the cure."""
    library = llamacpp_libraries() / "libggml-cuda.so"
    if not library.is_file():
        return "it is a CPU build; `make setup CUDA=1` builds it for the GPU, and until then only device=cpu runs"
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        needs = re.search(rb"\0libcudart\.so\.(\d+)", content)
    if needs and int(needs[1]) > int(driver_cuda()):
        return (
            f"it is built for CUDA {int(needs[1])}, and the driver runs CUDA {driver_cuda():.1f} at most; install a "
            "newer driver, or build it with an older CUDA toolkit: `make setup CUDA=1 CUDACXX=/path/to/nvcc`"
        )
    return "CUDA does not start; CUDA_VISIBLE_DEVICES, or what `nvidia-smi` prints, may say why"


def together() -> list[Check]:
    """Load llama.cpp where torch is loaded already, and have it fail at a file that is no model."""
    import llama_cpp
    import torch

    tensor = torch.ones(2, 2) @ torch.ones(2, 2)
    model = llama_cpp.llama_model_load_from_file(os.devnull.encode(), llama_cpp.llama_model_default_params())
    works = not model and bool(tensor.sum() == 8)
    return [] if works else [Check("both at once", "torch and llama.cpp in one process compute wrong values", "bad")]


LOOKS: dict[str, Callable[[], list[Check]]] = {
    "torch": torch,
    "bitsandbytes": bitsandbytes,
    "llama.cpp": llamacpp,
    "both at once": together,
}


def main(names: Sequence[str], overrides: Sequence[str]) -> None:
    """Look at each and print what is there."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    for name in names:
        if name == "plan":
            from bench.commands.doctor.fits import fits

            checks = list(fits(overrides))
        else:
            checks = LOOKS[name]()
        out.write(msgspec.json.encode(checks) + b"\n")
        out.flush()


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2:])
