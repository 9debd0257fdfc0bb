"""A tiny real model and copies of this project: what is swept, killed and committed to in a trial."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.machine.git import git_environment, run_git
from variants.paths import ROOT

REFERENCE = ROOT / "variants" / "reference"
TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def make_tiny_model(folder: Path, layers: int = 1) -> Path:
    """Save a Llama of random weights with the embedded tokenizer, rows of 256 so that K-quants are K-quants.

    Returns the folder.
    """
    import torch
    from transformers import AutoConfig, LlamaForCausalLM

    config = AutoConfig.from_pretrained(REFERENCE)
    config.num_hidden_layers, config.intermediate_size, config.initializer_range = layers, 256, 0.1
    torch.manual_seed(0)
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (REFERENCE / name).exists():
            shutil.copy(REFERENCE / name, folder / name)
    return folder


def copy_project(folder: Path) -> None:
    """Copy the files of the project into a folder, with an empty `results/` and without a repository.

    Only what git would take is copied: a temporary folder inside the project would be copied into itself.
    """
    listed = run_git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", ".", ":!results")
    for name in filter(None, (listed or "").split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)  # with its mode: a hook has to be executable
    (folder / "results").mkdir()


def git(folder: Path, *arguments: str) -> str:
    """Run git in a scratch repository under a made-up identity and return what it prints, without the last line end."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=git_environment())
    return done.stdout.strip()
