"""The files of a model folder: which belong to the model, where they come from, and what they must hold."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

from variants.errors import UserError
from variants.safety.code import CONFIGS, refuse_code
from variants.safety.files import copy, read_json, regular_file
from variants.weights import ADAPTER, INDEX, SINGLE, safetensors_header, weight_files

TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "*.model"),
    *("vocab.json", "vocab.txt", "vocab.bpe", "merges.txt", "*.tiktoken", "tekken.json"),
    *("chat_template.jinja", "chat_template.json"),
)
"""The files that a tokenizer may consist of."""
TAKEN = ("config.json", "generation_config.json", INDEX, *TOKENIZER)
"""The files that belong to a model, with its weights: all else in its folder stays there."""
REDIRECTS = {"config.json": "transformers_weights", "tokenizer_config.json": "fast_tokenizer_files"}
"""Keys by which transformers, and no other engine, takes other files of the folder."""
FETCHED = (*TAKEN, *CONFIGS, "*.safetensors")
COPY = "consolidated*"
"""What a second copy of the weights is called that Mistral's own library reads."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
OTHER_WEIGHTS = ("*.safetensors", "*.gguf", "pytorch_model*.bin", COPY)
"""Files that someone may take for the weights of the model."""


def model_files(folder: Path) -> list[Path]:
    """List the files of a model folder that belong to the model, sorted.

    Raises UserError for a folder that is absent or without config, weights or tokenizer, with pickled weights or an
    adapter only (a pickle can run any code when it is opened), that names code, whose files are no regular ones or
    links out of it, or with a safetensors file that is broken, truncated or missing.
    """
    if folder.suffix == ".gguf":
        raise UserError(f"{folder}: a GGUF file cannot be fine-tuned or quantized again; give the safetensors folder")
    weights = [file for file in weight_files(folder) if file.suffix != ".gguf"]
    if not weights or weights[0].name == ADAPTER:
        _refuse_weights(folder, weights)
    if not os.path.lexists(folder / "config.json"):
        raise UserError(f"{folder}: no config.json there; a model is a folder with config.json and *.safetensors")
    taken = sorted({*weights, *_matching(folder, TAKEN)})
    for file in taken:
        regular_file(file)
    refuse_code(folder)
    for name, key in REDIRECTS.items():
        if folder / name in taken and read_json(folder / name).get(key):
            raise UserError(f"{folder / name}: {key} has transformers read other files than llama.cpp; delete the key")
    if not {file.name for file in taken} & {"tokenizer.json", "tokenizer.model", "vocab.json"}:
        raise UserError(f"{folder}: no tokenizer (tokenizer.json or tokenizer.model); fetch it again")
    for file in weights:
        safetensors_header(file)
    return taken


def left_out(folder: Path) -> list[str]:
    """Name the files of a model folder that look like weights and are not the model's."""
    weights = weight_files(folder)
    return sorted(file.name for file in _matching(folder, OTHER_WEIGHTS) - set(weights))


def _matching(folder: Path, patterns: Iterable[str]) -> set[Path]:
    # Not `glob`: it passes over links to nothing where a pattern is a plain name.
    files = [file for file in folder.iterdir() if file.name.isprintable()]
    return {file for file in files for pattern in patterns if fnmatchcase(file.name, pattern)}


def _refuse_weights(folder: Path, weights: Sequence[Path]) -> NoReturn:
    """Raise the UserError that names what a folder without a model's weights holds instead."""
    if weights or os.path.lexists(folder / "adapter_config.json"):
        raise UserError(
            f"{folder}: an adapter and no model; merge it into the model it was trained on (peft's merge_and_unload), "
            "save that with its tokenizer, and give that folder"
        )
    if not os.path.lexists(folder / "config.json"):
        raise UserError(f"{folder}: no config.json there; a model is a folder with config.json and *.safetensors")
    if others := sorted(file.name for file in _matching(folder, ("*.safetensors",))):
        cure = f"fetch {INDEX}" if len(others) > 1 else "rename it"
        raise UserError(f"{folder}: weights {others[0]}, allowed: {SINGLE}, or shards with {INDEX}; {cure}")
    if pickles := sorted(file.name for file in _matching(folder, PICKLES)):
        raise UserError(f"{folder}: only pickled weights ({pickles[0]}), refused: save it as safetensors first")
    raise UserError(f"{folder}: no weights; {SINGLE} is needed, or shards with {INDEX}")


def require_chat_template(folder: Path) -> None:
    """Raise UserError where none of the files that transformers and llama.cpp's converter read has a chat template."""
    stated = [folder / name for name in ("tokenizer_config.json", "chat_template.json")]
    if not (folder / "chat_template.jinja").is_file() and not any(
        file.is_file() and read_json(file).get("chat_template") for file in stated
    ):
        raise UserError(
            f"accuracy.chat_template: got true, but {folder} has no chat template (tokenizer_config.json or "
            "chat_template.jinja); set it to false"
        )


def hub_folder(model_id: str, revision: str) -> Path:
    """Return the local snapshot of a hub model, fetching what is missing.

    Raises UserError, in one line, where the hub cannot be reached or does not know the model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(
            snapshot_download(model_id, revision=revision, allow_patterns=list(FETCHED), ignore_patterns=[COPY])
        )
    except HfHubHTTPError as error:
        raise UserError(f"model.id={model_id}: the hub refused it ({str(error).splitlines()[0]})") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES):
            raise UserError(f"model.id={model_id}: cannot be kept in the hub's cache: {error.strerror}") from None
        raise UserError(
            f"model.id={model_id} (revision {revision}): not in the local cache and the hub is out of reach; "
            "go online, or give a local folder: model=/path/to/folder"
        ) from None


def copy_tokenizer(folder: Path, out: Path) -> None:
    """Copy the tokenizer's files of `folder` into `out`.

    `AutoTokenizer.save_pretrained` leaves `tokenizer.model` out; without it the GGUF converter finds no merge scores,
    and llama.cpp cuts every text into other tokens than the model was trained on.
    """
    for file in tokenizer_files(folder):
        copy(file, out / file.name)


def tokenizer_files(folder: Path) -> list[Path]:
    """List the files of a folder that its tokenizer consists of."""
    return sorted(_matching(folder, TOKENIZER))
