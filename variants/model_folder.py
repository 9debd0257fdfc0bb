"""The files of a model folder: which belong to the model, where they come from, and what they must hold."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

from variants.errors import UserError
from variants.weights import safetensors_header

PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZER = (
    *("tokenizer*", "*.model", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt"),
    "chat_template*",
)


def model_files(folder: Path) -> list[Path]:
    """List the files of a model folder that belong to the model.

    Raises UserError for a folder that is absent or without config, weights or tokenizer, with pickled weights only
    (a pickle can run any code when it is opened), or with a safetensors file that is broken, truncated or missing.
    """
    if folder.suffix == ".gguf":
        raise UserError(f"{folder}: a GGUF file cannot be fine-tuned or quantized again; give the safetensors folder")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json there; a model is a folder with config.json and *.safetensors")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickles = sorted(p.name for pattern in PICKLES for p in folder.glob(pattern))
        if pickles:
            raise UserError(f"{folder}: only pickled weights ({pickles[0]}), refused: save it as safetensors first")
        raise UserError(f"{folder}: no weights; at least one *.safetensors file is needed")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weight_map = _json(index).get("weight_map")
        shards = set(weight_map.values()) if isinstance(weight_map, dict) else set()
        missing = sorted(shards - {w.name for w in weights})
        if missing:
            raise UserError(f"{folder}: shard {missing[0]} is named in {index.name} but missing; fetch it again")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise UserError(f"{folder}: no tokenizer (tokenizer.json or tokenizer.model); fetch it again")
    for file in weights:
        safetensors_header(file)
    return sorted({file for pattern in PATTERNS for file in folder.glob(pattern) if file.is_file()})


def require_chat_template(folder: Path) -> None:
    """Raise UserError where none of the files that transformers and llama.cpp's converter read has a chat template."""
    stated = [folder / name for name in ("tokenizer_config.json", "chat_template.json")]
    if not (folder / "chat_template.jinja").is_file() and not any(
        file.is_file() and _json(file).get("chat_template") for file in stated
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
        return Path(snapshot_download(model_id, revision=revision, allow_patterns=list(PATTERNS)))
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
    for pattern in TOKENIZER:
        for file in folder.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, out / file.name)


def _json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text())
    except ValueError:
        raise UserError(f"{path}: not JSON; fetch it again") from None
    return value if isinstance(value, dict) else {}
