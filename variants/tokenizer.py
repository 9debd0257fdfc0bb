"""Hand a tokenizer on from one artifact to the next, as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

PATTERNS = (
    *("tokenizer*", "*.model", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt"),
    "chat_template*",
)


def copy_tokenizer(folder: Path, out: Path) -> None:
    """Copy the tokenizer's files of `folder` into `out`.

    `AutoTokenizer.save_pretrained` leaves `tokenizer.model` out; without it the GGUF converter finds no merge scores,
    and llama.cpp cuts every text into other tokens than the model was trained on.
    """
    for pattern in PATTERNS:
        for file in folder.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, out / file.name)
