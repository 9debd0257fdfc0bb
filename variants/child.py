"""How every child process starts: with no standard input, a short environment, and an end no later than its parent's.

Nothing that a model, a task or a library asks on standard input is answered, and no variable of the user's shell
reaches a child unless it is named here: secrets stay out, and so does what makes Python, git or a library run other
code.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypedDict

from variants.process import die_with_parent

RUN = "VARIANTBENCH_RUN"
"""The variable by which locks name the run in what a launcher starts: the commands of that name joblib or Ray."""
KEPT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH"),
        # PYTHONSTARTUP, PYTHONINSPECT, PYTHONHOME, PYTHONBREAKPOINT, PYTHONWARNINGS and their like are not needed.
        *("PYTHONUTF8", "PYTHONIOENCODING", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
        *("HF_HOME", "HF_XET_CACHE", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"),
        *("TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS", "BNB_CUDA_VERSION"),
        RUN,
    }
)
KEPT_PREFIXES = (
    *("LC_", "HF_HUB_", "CUDA_", "NVIDIA_", "PYTORCH_", "TORCH_", "TRITON_", "GGML_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_"),
)
"""Locale, the hub's settings, and what changes where and how fast tensors are computed: a measurement keeps it."""
NETWORK = frozenset(
    {
        *("HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    }
)
"""How the hub is reached: for children that fetch questions."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


class Start(TypedDict):
    """The arguments of `subprocess.run` and `subprocess.Popen` that say how a child starts."""

    stdin: int
    env: dict[str, str]
    preexec_fn: Callable[[], None]


def start(*, offline: bool = False) -> Start:
    """Return how a child starts: `subprocess.run(command, **start())`. An `offline` one asks no hub for anything."""
    return {
        "stdin": subprocess.DEVNULL,
        "env": environment(os.environ, offline=offline),
        "preexec_fn": partial(end_with, os.getpid()),
    }


def environment(full: Mapping[str, str], *, offline: bool = False) -> dict[str, str]:
    """Return the variables of `full` that a child gets."""
    names = KEPT if offline else KEPT | NETWORK
    kept = {name: text for name, text in full.items() if name in names or name.startswith(KEPT_PREFIXES)}
    # Packages that the parent imports may lie there; a relative entry would mean another folder in another process.
    if folders := [entry for entry in full.get("PYTHONPATH", "").split(os.pathsep) if Path(entry).is_absolute()]:
        kept["PYTHONPATH"] = os.pathsep.join(folders)
    return kept | OFFLINE if offline else kept


def end_with(parent: int) -> None:
    """Have this process end with its parent, at once where that has ended already."""
    die_with_parent()
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)
