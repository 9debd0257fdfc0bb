"""Step `source`: the model that every variant starts from, checked before anything is built on it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from variants.artifact import Artifact, Kind, Made
from variants.errors import UserError
from variants.paths import resolve
from variants.weights import Tensor, safetensors_header

PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class Source:
    """Take a model folder in transformers layout with safetensors weights."""

    path: str = field(metadata={"content": True})

    takes: ClassVar[tuple[Kind | None, ...]] = (None,)
    gives: ClassVar[Kind] = "hf"
    tools: ClassVar[tuple[str, ...]] = ()
    on_device: ClassVar[bool] = False

    def __post_init__(self) -> None:
        model_files(resolve(self.path))

    def run(self, parent: Artifact | None, out: Path, device: str) -> Made:
        """Copy the model's files into `out`: a link would let a later change of the folder reach into the cache.

        Files of a hub snapshot are linked: they lie in a store that is addressed by content and never changed.
        """
        for file in model_files(resolve(self.path)):
            if file.is_symlink():
                _link(file.resolve(), out / file.name)
            else:
                shutil.copyfile(file, out / file.name)
        config = json.loads((out / "config.json").read_text())
        return Made(notes={"architectures": config.get("architectures"), "dtype": config.get("dtype")})

    def expected_bytes(self, n_parameters: int) -> int:
        """Return the bytes of the model's files."""
        return sum(file.stat().st_size for file in model_files(resolve(self.path)))


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
        shards = set(_json(index).get("weight_map", {}).values())
        missing = sorted(shards - {w.name for w in weights})
        if missing:
            raise UserError(f"{folder}: shard {missing[0]} is named in {index.name} but missing; fetch it again")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise UserError(f"{folder}: no tokenizer (tokenizer.json or tokenizer.model); fetch it again")
    for file in weights:
        safetensors_header(file)
    return sorted({file for pattern in PATTERNS for file in folder.glob(pattern) if file.is_file()})


def require_chat_template(folder: Path) -> None:
    """Raise UserError where a model folder has no chat template, where transformers and llama.cpp's converter look."""
    stated = [folder / name for name in ("tokenizer_config.json", "chat_template.json")]
    if not (folder / "chat_template.jinja").is_file() and not any(
        file.is_file() and _json(file).get("chat_template") for file in stated
    ):
        raise UserError(
            f"accuracy.chat_template: got true, but {folder} has no chat template (tokenizer_config.json or "
            "chat_template.jinja); set it to false"
        )


def _link(target: Path, name: Path) -> None:
    try:
        os.link(target, name)
    except OSError:  # another file system
        shutil.copyfile(target, name)


def tensors(folder: Path) -> list[Tensor]:
    """List the tensors of a model folder."""
    return [t for file in sorted(folder.glob("*.safetensors")) for t in safetensors_header(file)]


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


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except ValueError:
        raise UserError(f"{path}: not JSON; fetch it again") from None
    return value if isinstance(value, dict) else {}
