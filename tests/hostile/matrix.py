"""The table "models tried" of variants/README.md: variants of each tiny folder, built, opened, scored and generated.

`python -m tests.hostile.matrix OUT [NAME…]` makes the folders and prints a row per architecture and variant: what the
steps and runtimes of the harness make of it, or their error. llama.cpp's converter knows a byte-level tokenizer by the
tokens that it makes of a certain text, so one that was trained here is unknown to it. To try the architecture all the
same, a copy of the converter then takes it for its family's.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.runtimes.forest import Forest, Request
from bench.runtimes.session import Runtime, Session
from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import parse
from tests.conftest import make
from tests.hostile.architectures import ARCHITECTURES, HANDBOOK, make_folder
from variants.configure import configure
from variants.steps import gguf
from variants.steps.model_checks import quiet

VARIANTS = ("base-torch", "base", "q4", "nf4", "int8", "finetuned", "finetuned-q4", "qlora")
PRE_TOKENIZERS = {"gpt2": "gpt-2", "qwen2": "qwen2", "qwen3": "qwen2", "olmo2": "dbrx", "stablelm": "olmo"}
REFUSAL = re.compile(r"^( *)raise .*update get_vocab_base_pre.*$", re.MULTILINE)
"""The line of the converter that refuses a tokenizer; the copy that the matrix uses names the family instead."""
EXACT = ["runtime.llamacpp.kv_type=f32", "steps.gguf.type=f32", "runtime.llamacpp.flash_attention=off"]


def likelihoods(session: Session, tokens: Sequence[int]) -> np.ndarray:
    """Return the log-probability of each token behind those before it."""
    forest = Forest([Request(tokens[:1], tokens[1:])])
    limits, _ = session.start_scoring(forest.longest)
    values = np.zeros(len(tokens) - 1)
    for chunk in forest.chunks():
        for block in forest.blocks(chunk, limits):
            values[block.reads] = next(session.evaluate([block]))[0]
    return values


def converter_for(converter: Path, name: str, out: Path) -> Path:
    """Copy the converter and have it take an unknown tokenizer for one of the family's."""
    copy = out / f"converter-{name}"
    shutil.copytree(converter.parent, copy, dirs_exist_ok=True)
    base = copy / "conversion" / "base.py"
    taken, n_lines = REFUSAL.subn(rf"\1res = {PRE_TOKENIZERS.get(name, 'default')!r}", base.read_text())
    if n_lines != 1:
        raise RuntimeError(f"{base}: {n_lines} lines refuse a tokenizer, not one: this converter is another version")
    base.write_text(taken)
    return copy / converter.name


def outcome(folder: Path, out: Path, variant: str, reference: list[Session]) -> str:
    """Build, open, score and generate one variant; say how far it is from the model in torch, or why it fails."""
    text = HANDBOOK.read_text()[:600]
    rows = out / "rows.jsonl"
    rows.write_text("".join((HANDBOOK.parent / "train.jsonl").read_text().splitlines(keepends=True)[:8]))
    lora = [f"steps.lora.data={rows}", "steps.lora.replay=null", "steps.lora.replay_share=0", "steps.lora.epochs=1"]
    request = parse([f"model={folder}", *EXACT, *lora, "steps.lora.max_length=512", "device=cpu"])
    settings = compose(request, variant, 0)
    made = make(out / "cache", settings.steps, settings.variant.steps)
    runtime: Runtime = configure(settings.runtime[settings.variant.runtime], "runtime")
    session = runtime.open(made, "cpu")
    reference.append(session)
    tokens = session.tokenize(text, bos=True)[:200]
    continued = list(session.generate(tokens[:20], 8))
    own = likelihoods(session, tokens)
    warnings = [warning for part in made.lineage() for warning in part.warnings]
    first = reference[0]
    same = "" if first.tokenize(text, bos=True)[:200] == tokens else "; OTHER TOKENS than in torch"
    beside = likelihoods(first, tokens) if len(reference) > 1 else own
    moved = float(np.abs(own - beside).mean())
    notes = made.notes.get("merge_mean_kl")
    return " ".join(
        [f"works, {moved:.4f} nats from base-torch, {len(set(continued))} distinct{same}", f"kl={notes}", *warnings]
    )


def main(out: Path, names: Sequence[str]) -> None:
    """Print the outcome of each variant of each architecture."""
    converter = gguf.CONVERTER
    for name in names or ARCHITECTURES:
        folder = out / name
        if not folder.is_dir():
            make_folder(name, folder)
        gguf.CONVERTER = converter
        try:
            gguf.Gguf("f16").check(folder, "cpu")
            print(name, "converter", "works", sep="\t", flush=True)
        except Exception as error:
            print(name, "converter", error, sep="\t", flush=True)
            gguf.CONVERTER = converter_for(converter, name, out)
        sessions: list[Session] = []
        for variant in VARIANTS:
            try:
                with quiet():
                    result = outcome(folder, out, variant, sessions)
            except Exception as error:
                result = f"{type(error).__name__}: {error}"
            print(name, variant, result, sep="\t", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
