"""Compare the costs of scoring with those of lm-eval's own model, on the same 5-shot MMLU requests.

`python -m bench.selftest.scoring RUNTIME FOLDER` prints the memory that one runtime takes, in a process of its own.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.stats.estimates import percentile
from variants.artifact import Artifact
from variants.paths import ROOT
from variants.process import peak_resident_bytes, reset_peak_resident

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM

    from bench.runtimes.session import Session
    from bench.scoring.lm_eval_model import SessionLM
    from bench.sweep.plan.cell import Cell

SUBJECTS, SHOTS = 8, 5
QUESTIONS = (20, 40)
"""Questions of each subject. MMLU has 100 or more; with fewer, the five examples that they share count for more."""
BATCH = 8
VOCABULARY = 8192
TINY = "tiny"
RUNTIMES = ("llamacpp", "transformers")
COLUMNS = ("cost", "unit", "of", "beside", "ratio", "smallest to largest", "n")


def rows() -> Iterator[list[str]]:
    """Yield COLUMNS of scoring speed and memory, or why they were not measured."""
    names = [
        f"{SUBJECTS} × {n} MMLU questions, HFLM batch {BATCH} / {runtime}" for n in QUESTIONS for runtime in RUNTIMES
    ]
    named = os.environ.get("MMLU_DIR")
    folder = Path(named or "").expanduser().absolute()
    if not named or not (folder / "test").is_dir():
        why = f"MMLU_DIR={named}: no folder `test` there" if named else "set MMLU_DIR to the folder of MMLU's CSVs"
        yield from ([name, "", "", "", "not measured", why, "0"] for name in names)
        return
    with tempfile.TemporaryDirectory() as place:
        cache = Path(place)
        build(cache, folder)
        sides = list(timed(cache, folder))
        for name, (theirs, ours) in zip(names, sides, strict=True):
            yield [name, "s", *compared(theirs, ours)]
        for runtime in RUNTIMES:
            command = [sys.executable, "-m", "bench.selftest.scoring", runtime, str(cache), str(folder)]
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
            taken, needed = json.loads(done.stdout.splitlines()[-1])
            of, beside = f"{taken / 1e6:.0f}", f"{needed / 1e6:.0f}"
            yield [f"scoring memory / weights + KV, {runtime}", "MB", of, beside, f"{taken / needed:.2f}×", "", "1"]


def compared(theirs: Sequence[float], ours: Sequence[float]) -> list[str]:
    """Return totals, their ratio, the smallest and largest ratio of one subject, and the number of subjects."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    span = f"{min(ratios):.2f}–{max(ratios):.2f} by subject, median {percentile(ratios, 0.5):.2f}"
    return [f"{sum(theirs):.1f}", f"{sum(ours):.1f}", f"{sum(theirs) / sum(ours):.2f}×", span, str(len(ratios))]


def beside(cost: float, another: float) -> list[str]:
    """Return a cost, the one that it is compared with, and their ratio."""
    return [f"{cost:,.1f}", f"{another:,.1f}", f"{cost / another:.2f}×"]


def build(cache: Path, mmlu: Path) -> None:
    """Make a Llama of 36 M random weights with a tokenizer fitted on MMLU's own words, its F16 GGUF, and a tiny one."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from variants.reference.train import train_tokenizer

    folder = cache / "model"
    folder.mkdir()
    lines = [text for file in sorted((mmlu / "dev").glob("*.csv")) for row in _csv(file) for text in row]
    lines += [text for file in sorted((mmlu / "val").glob("*.csv")) for row in _csv(file) for text in row]
    train_tokenizer([line for text in lines for line in text.splitlines() if line], folder, VOCABULARY)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder)
    shutil.copytree(folder, cache / TINY, ignore=shutil.ignore_patterns("*.safetensors"))
    config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.head_dim = 1, 64, 64, 8
    LlamaForCausalLM(config).bfloat16().save_pretrained(cache / TINY)
    for runtime in RUNTIMES:
        artifact(cache, runtime)
        artifact(cache, runtime, TINY)


def _csv(file: Path) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def _cell(cache: Path, runtime: str, model: str) -> Cell:
    from bench.sweep.plan.cell import make_cell
    from bench.sweep.plan.compose import compose
    from bench.sweep.plan.request import parse

    variant = {"llamacpp": "base", "transformers": "base-torch"}[runtime]
    places = [f"model={cache / model}", f"cache_dir={cache}", "suite=mmlu", "suite.measures=[size]", "device=cpu"]
    return make_cell(compose(parse(places), variant, 0))


def artifact(cache: Path, runtime: str, model: str = "model") -> Artifact:
    """Return a model as this runtime opens it, building it the first time."""
    from variants.build import build as build_step
    from variants.cache import Cache

    made: Artifact | None = None
    for planned in _cell(cache, runtime, model).chain:
        made = build_step(Cache(cache), planned, made, "cpu")
    assert made is not None
    return made


class Timed:
    """A function, and the seconds that its calls took."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work
        self.seconds = 0.0

    def __call__(self, *arguments: object) -> Any:
        start = time.perf_counter()
        try:
            return self._work(*arguments)
        finally:
            self.seconds += time.perf_counter() - start


class Opened(NamedTuple):
    """An artifact in a runtime, lm-eval's model over it, and what it takes without building and tokenizing requests."""

    session: Session
    lm: SessionLM
    score: Timed


def lm(cache: Path, runtime: str, model: str = "model") -> SessionLM:
    """Return lm-eval's model over a session of a runtime, in this process."""
    node = _cell(cache, runtime, model).settings.runtime[runtime]
    return opened(node, artifact(cache, runtime, model), "cpu").lm


def opened(node: Mapping[str, object], one: Artifact, device: str) -> Opened:
    """Open an artifact in a runtime, in this process."""
    from bench.scoring.lm_eval_model import SessionLM
    from bench.scoring.scorer import VERSION, Scorer
    from variants.configure import configure

    session: Session = configure(node, "runtime").open(one, device)
    scorer = Scorer(session, one, lambda *_: None)
    score = Timed(scorer.score)
    offered = {"tokenize": scorer.tokenize, "score": score, "complete": scorer.complete}
    remote = SimpleNamespace(n_ctx=session.n_ctx, vocabulary=session.vocabulary, version=VERSION, **offered)
    return Opened(session, SessionLM(remote, lambda *_: None, None), score)  # type: ignore[arg-type]


def subjects(mmlu: Path, questions: int | None, number: int = SUBJECTS) -> Iterator[list[Instance]]:
    """Yield the requests of subjects spread over the alphabet, as lm-eval builds them; None is all questions."""
    from bench.tasks.load import load

    leaves = list(load("mmlu", mmlu, SHOTS, 0).leaves.values())
    for task in leaves[:: len(leaves) // number][:number]:
        task.build_all_requests(limit=questions)
        yield task.instances


def timed(cache: Path, mmlu: Path) -> Iterator[tuple[list[float], list[float]]]:
    """Yield seconds by subject, HFLM's and a runtime's, for each of QUESTIONS and of RUNTIMES."""
    from lm_eval.models.huggingface import HFLM

    hflm = HFLM(pretrained=str(cache / "model"), dtype="float32", batch_size=BATCH, device="cpu", max_length=4096)
    models: dict[str, LM] = {"hflm": hflm, **{runtime: lm(cache, runtime) for runtime in RUNTIMES}}
    one_question = next(subjects(mmlu, 1))
    for model in models.values():
        model.loglikelihood(one_question, disable_tqdm=True)
    for questions in QUESTIONS:
        seconds = scored(models, list(subjects(mmlu, questions)))
        yield from ((seconds["hflm"], seconds[runtime]) for runtime in RUNTIMES)


def scored(models: Mapping[str, LM], subjects: Sequence[list[Instance]]) -> dict[str, list[float]]:
    """Score each subject with all models in turn, each going first in turn; return seconds, tokenization included."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    names = list(models)
    for turn, instances in enumerate(subjects):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            scores = models[name].loglikelihood(instances, disable_tqdm=True)
            seconds[name].append(time.perf_counter() - start)
            assert len(scores) == len(instances)
    return seconds


def memory(runtime: str, cache: Path, mmlu: Path) -> tuple[int, int]:
    """Return the bytes that scoring took beyond what the process held before, and what weights and KV cache need.

    Before, it scored one question with a tiny model: what the libraries take for themselves is no part of it.
    """
    instances = [one for some in subjects(mmlu, max(QUESTIONS)) for one in some]
    folder = artifact(cache, runtime)
    lm(cache, runtime, TINY).loglikelihood(instances[:4])
    reset_peak_resident()
    before = peak_resident_bytes()
    model = lm(cache, runtime)
    model.loglikelihood(instances)
    scoring = model.scoring
    config = json.loads((cache / "model" / "config.json").read_text())
    value_bytes = {"f16": 2, "float32": 4}[scoring["kv_type"]]
    kv_bytes = 2 * scoring["cache_tokens"] * config["num_hidden_layers"] * config["hidden_size"] * value_bytes
    weights = folder.weight_bytes * (2 if runtime == "transformers" else 1)  # bfloat16 on disk, float32 in use
    return peak_resident_bytes() - before, weights + kv_bytes


if __name__ == "__main__":
    print(json.dumps(memory(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
