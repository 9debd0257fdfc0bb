"""Open tokenizers without torch, which transformers imports for seconds and which no tokenizer needs."""

from __future__ import annotations

import os
import sys


def tokenizers_without_torch() -> None:
    """Have transformers do without torch in this process, unless it has been imported already.

    Call it where configurations and tokenizers alone are opened: models are then unavailable. Torch itself can be
    imported all the same.
    """
    if {"torch", "transformers"} & sys.modules.keys():
        return
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"  # it would say that PyTorch was not found
    sys.modules["torch"] = None  # type: ignore[assignment]  # which is how Python marks what is not to be imported
    try:
        import transformers  # noqa: F401  # it looks for torch once
    finally:
        del sys.modules["torch"]
