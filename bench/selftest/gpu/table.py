"""Compare costs on a GPU with those of lm-eval's own model and of llama.cpp's own bench, on one random model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.machine.gpu import driver_version, usable_gpus
from bench.machine.hardware import versions
from bench.records import file as record_file
from bench.records.types import Record
from bench.selftest import scoring
from bench.selftest.gpu import sweep
from bench.selftest.gpu.parts import OUTPUT_TOKENS, PROMPT_TOKENS, QUESTIONS, SUBJECTS, TURNS, WHOLE_SUBJECTS, Job
from variants.errors import UserError
from variants.paths import ROOT

COLUMNS = ("cost", "unit", "of", "beside", "ratio", "wanted")
MODEL, SMALL = ("random-3b",), ("random-1b", "model.shape.layers=4")
"""Shapes of 3.2 and of 0.5 billion parameters."""
BLOCK_TOKENS = 2048
PAIRS = 3
"""How often decoding here and in llama-bench take turns: a card is a few per cent faster at one time than another."""


def title() -> str:
    """Return the card and the versions that the table is about."""
    cards = usable_gpus()
    card = f"{cards[0].name}, driver {driver_version()}" if cards else "no GPU"
    tools = versions(("torch", "transformers", "lm-eval", "llama-cpp-python"))
    return f"{card}; " + ", ".join(f"{name} {version}" for name, version in tools.items())


def rows(asked: Sequence[str] = ()) -> Iterator[list[str]]:
    """Yield COLUMNS of what is asked for, by default of ROWS, or why it was not measured.

    Everything lies in a temporary folder: TMPDIR chooses the disk. Raises UserError for an unknown name.
    """
    named = {**ROWS, "sweep": sweep.rows, "cards": sweep.rows_of_cards}
    if unknown := [name for name in asked if name not in named]:
        raise UserError(f"selftest gpu: got {unknown[0]!r}, allowed: {', '.join(named)}")
    if not usable_gpus():
        yield _not_measured("all", "no GPU on this machine")
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        for name in asked or ROWS:
            yield from named[name](Path(place))


def _build(place: Path, model: Sequence[str], variants: Sequence[str]) -> dict[str, tuple[Record, Path]]:
    """Build variants of a random model as `bench run` does; return their records and artifacts, by variant."""
    asked = [f"model={model[0]}", *model[1:], "suite=hr-chatbot", f"variant={','.join(variants)}"]
    short = ["suite.measures=[size]", "suite.rounds=1", "suite.requirements=null", "steps.lora.epochs=1"]
    places = [f"cache_dir={place / 'cache'}", f"results_dir={place / 'results'}"]
    command = [sys.executable, "-m", "bench.cli", "run", *asked, *short, *places]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    made = {}
    for file in (place / "results").rglob("*.r0.json"):
        record = record_file.read(file)
        if record is not None:
            made[record.variant] = record, place / "cache" / "artifacts" / str(record.fingerprint)
    return made


def _merging(place: Path) -> Iterator[list[str]]:
    """Yield the peak of memory of a merge beside its weights, and its speed.

    The step compares the merged model with its adapter: both read their weights from their files as they compute.
    """
    record = _build(place / "large", MODEL, ("finetuned-torch",))["finetuned-torch"][0]
    merged = next(made for made in record.lineage if made.step == "merge")
    size_gb, peak_gb = merged.size_bytes / 1e9, (merged.build_peak_bytes or 0) / 1e9
    yield ["merge 3 B: peak of memory, weights", "GB", *scoring.beside(peak_gb, size_gb), "3 GB + largest tensor"]
    written, whole = merged.notes.get("write_seconds"), merged.build_seconds
    for what, taken in (("merge 3 B: computed and written", written), ("… and imports, comparison", whole)):
        pace = f"{size_gb / taken:.2f}" if isinstance(taken, float) and taken else "not measured"
        yield [what, "GB/s", pace, "", "", "at least 0.5"]


def _decoding(place: Path) -> Iterator[list[str]]:
    large = _build(place / "large", MODEL, ("base", "q4", "base-torch"))
    yield from _decoding_of("3 B", large, "at least 0.98")
    record, artifact = large["base-torch"]
    ours, theirs = _measured("decode", artifact, record), _measured("generate", artifact)
    paces = (1e3 / one["tpot_ms"] for one in (ours, theirs))
    yield ["decode 3 B base-torch, beside transformers' generate", "tokens/s", *scoring.beside(*paces), ""]
    yield from _decoding_of("0.5 B", _build(place / "small", SMALL, ("base", "q4")), "at least 0.95")


def _decoding_of(size: str, made: Mapping[str, tuple[Record, Path]], wanted: str) -> Iterator[list[str]]:
    """Yield tokens a second beside llama-bench's, and the first token beside its prefill, on the same files in turn."""
    for variant in ("base", "q4"):
        names = f"decode {size} {variant}", f"TTFT {size} {variant}, {PROMPT_TOKENS} tokens"
        if (tool := _llama_bench_tool()) is None:
            yield from (_not_measured(name, "set LLAMA_BENCH to llama.cpp's llama-bench") for name in names)
            continue
        record, artifact = made[variant]
        turns = [
            (_measured("decode", artifact, record), _llama_bench(tool, artifact, PROMPT_TOKENS)) for _ in range(PAIRS)
        ]
        ours, theirs = zip(*turns, strict=True)
        paces = median(1e3 / one["tpot_ms"] for one in ours), median(one["generated"] for one in theirs)
        yield [names[0], "tokens/s", *scoring.beside(*paces), wanted]
        first = median(one["ttft_ms"] for one in ours), median(1e3 * PROMPT_TOKENS / one["prompt"] for one in theirs)
        yield [names[1], "ms", *scoring.beside(*first), "at most 1.15"]


def _scoring(place: Path) -> Iterator[list[str]]:
    """Yield seconds of the same questions, opening and checks included, beside lm-eval's own model."""
    mmlu = Path(os.environ.get("MMLU_DIR", "")).expanduser().absolute()
    if not (mmlu / "test").is_dir():
        yield _not_measured("scoring", "set MMLU_DIR to the folder of MMLU's CSVs")
        return
    made = _build(place / "large", MODEL, ("base-torch", "base"))
    source = made["base-torch"][1]
    batch = _measured("batch", source, mmlu=str(mmlu))["batch"]
    theirs, without = (_measured("hflm", source, mmlu=str(mmlu), batch=batch, cudnn=cudnn) for cudnn in (True, False))
    for variant, *wanted in (
        ("base-torch", "at least 4", "at least 60,000", "at least 6"),
        ("base", "at least 3", "", ""),
    ):
        record, artifact = made[variant]
        ours = _measured("score", artifact, record, mmlu=str(mmlu))
        name = f"{SUBJECTS} × {QUESTIONS} questions, HFLM batch {theirs['batch']} / {record.runtime}"
        yield [name, "s", *scoring.beside(theirs["seconds"], ours["seconds"]), wanted[0]]
        yield ["… HFLM without cuDNN's attention", "s", *scoring.beside(without["seconds"], ours["seconds"]), ""]
        both = (one["seconds"] + one["imports_s"] for one in (theirs, ours))
        yield ["… and Python's imports", "s", *scoring.beside(*both), ""]
        yield [f"… of {ours['tokens']:,} tokens, warm", "tokens/s", f"{ours['rate']:,.0f}", "", "", wanted[1]]
        if record.runtime == "llamacpp" and (tool := _llama_bench_tool()):
            block = _llama_bench(tool, artifact, BLOCK_TOKENS)
            name = f"… beside llama-bench, {BLOCK_TOKENS} tokens"
            yield [name, "tokens/s", *scoring.beside(ours["rate"], block["prompt"]), "at least 0.8"]
        name = f"all of MMLU, extrapolated from {WHOLE_SUBJECTS} whole subjects"
        yield [name, "s", *scoring.beside(theirs["whole"], ours["whole"]), wanted[2]]
        yield ["… HFLM without cuDNN's attention", "s", *scoring.beside(without["whole"], ours["whole"]), ""]


def _not_measured(name: str, why: str) -> list[str]:
    return [name, "", "", "", "not measured", why]


def _llama_bench_tool() -> str | None:
    return os.environ.get("LLAMA_BENCH") or shutil.which("llama-bench")


def _llama_bench(tool: str, artifact: Path, prompt_tokens: int) -> dict[str, float]:
    """Return llama-bench's tokens a second on an artifact, of a prompt and generated."""
    sizes = ["-p", str(prompt_tokens), "-n", str(OUTPUT_TOKENS), "-b", str(BLOCK_TOKENS), "-ub", str(BLOCK_TOKENS)]
    command = [tool, "-m", str(next(artifact.glob("*.gguf"))), *sizes, "-fa", "1", "-r", str(TURNS), "-o", "json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {("generated" if one["n_gen"] else "prompt"): one["avg_ts"] for one in json.loads(done.stdout)}


def _measured(part: str, artifact: Path, record: Record | None = None, **asked: object) -> Job:
    """Run one part in a process of its own, whose cache of scores is empty; return what it printed."""
    runtime = {"runtime": record.runtime, "node": dict(record.config.runtime)} if record else {}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"part": part, "artifact": str(artifact), **runtime, **asked}, file)
        file.flush()
        command = [sys.executable, "-m", "bench.selftest.gpu.parts", file.name]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    taken: Job = json.loads(done.stdout.splitlines()[-1])
    return taken


ROWS: Mapping[str, Callable[[Path], Iterator[list[str]]]] = {
    "scoring": _scoring,
    "decoding": _decoding,
    "merging": _merging,
}
