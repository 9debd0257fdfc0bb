"""Run llama.cpp's converter, which trusts models' code: `python variants/safety/converter.py SCRIPT ARGUMENT…`.

For some architectures the converter opens the tokenizer with `trust_remote_code=True`. Here transformers refuses, and
nothing is sent.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import NoReturn

LAUNCHER = Path(__file__)
SENDS = ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg")
"""Functions of sockets by which something leaves this machine."""


def main(script: str, *arguments: str) -> None:
    """Take the ways to code of a model and to the network away, and run the script as if it had been called itself."""
    sys.path[0] = str(LAUNCHER.parents[2])
    from variants.tokenizer.without_torch import tokenizers_without_torch

    sys.path[0] = str(Path(script).parent)
    tokenizers_without_torch()  # the converter opens configs and tokenizers, and imports torch itself
    # Before the modules that open configs and tokenizers are imported: they take these functions by name.
    from transformers import dynamic_module_utils as code

    code.get_class_in_module = code.get_cached_module_file = code.get_class_from_dynamic_module = _refuse
    code.resolve_trust_remote_code = _never
    sys.addaudithook(_no_network)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def _refuse(*arguments: object, **options: object) -> NoReturn:
    raise PermissionError("the model names code of its own, and no code of a model is ever run")


def _no_network(event: str, arguments: object) -> None:
    if event.removeprefix("socket.") in SENDS:
        raise PermissionError("the converter needs no network, and gets none")


def _never(trust: object, model: object, has_local_code: object, has_remote_code: object, *rest: object) -> bool:
    if has_remote_code:
        _refuse()
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
