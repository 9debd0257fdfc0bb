"""Records as a sweep writes them, made up from a seed: for the tests of everything that reads records.

`python -m bench.selftest.records OUT --commits 1000` makes a scratch repository of that many commits with records.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.records.file import dumps, record_path, sealed
from bench.records.types import Commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MACHINE = "test-cpu-2c"
TARGETS = {
    "source": "variants.steps.source.Source",
    "gguf": "variants.steps.gguf.Gguf",
    "lora": "variants.steps.lora.Lora",
    "merge": "variants.steps.merge.Merge",
    "nf4": "variants.steps.nf4.Nf4",
}
KINDS = {"source": "hf", "gguf": "gguf", "lora": "adapter", "merge": "hf", "nf4": "nf4"}
TUNED = ("source", "lora", "merge", "gguf")
# steps, runtime, size in bytes, median TPOT in ms, share right on general and on hr
VARIANTS: dict[str, tuple[tuple[str, ...], str, int, float, float, float]] = {
    "base": (("source", "gguf"), "llamacpp", 6_900_000, 1.30, 0.93, 0.31),
    "q8": (("source", "gguf", "q8"), "llamacpp", 3_700_000, 0.95, 0.93, 0.31),
    "q5": (("source", "gguf", "q5"), "llamacpp", 2_600_000, 0.90, 0.92, 0.30),
    "q4": (("source", "gguf", "q4"), "llamacpp", 2_300_000, 0.84, 0.90, 0.30),
    "q2": (("source", "gguf", "q2"), "llamacpp", 1_700_000, 0.80, 0.62, 0.28),
    "finetuned": (TUNED, "llamacpp", 6_900_000, 1.31, 0.88, 0.93),
    "finetuned-q8": ((*TUNED, "q8"), "llamacpp", 3_700_000, 0.96, 0.88, 0.93),
    "finetuned-q5": ((*TUNED, "q5"), "llamacpp", 2_600_000, 0.90, 0.87, 0.92),
    "finetuned-q4": ((*TUNED, "q4"), "llamacpp", 2_300_000, 0.85, 0.86, 0.91),
    "finetuned-q2": ((*TUNED, "q2"), "llamacpp", 1_700_000, 0.80, 0.55, 0.66),
    "qlora-q4": (("source", "nf4", "lora", "merge", "gguf", "q4"), "llamacpp", 2_300_000, 0.85, 0.84, 0.86),
    "qlora": (("source", "nf4", "lora"), "transformers", 3_400_000, 9.8, 0.85, 0.87),
    "base-torch": (("source",), "transformers", 6_900_000, 4.1, 0.93, 0.31),
    "finetuned-torch": (("source", "lora", "merge"), "transformers", 6_900_000, 4.2, 0.88, 0.93),
    "nf4": (("source", "nf4"), "transformers", 2_900_000, 9.1, 0.91, 0.30),
}
SUBJECTS = {
    "general": ("animals", "arithmetic", "authors", "calendar", "capitals", "elements", "languages", "units"),
    "hr": ("benefits", "conduct", "leave", "onboarding", "pay", "travel"),
}
QUESTIONS = {"general": 400, "hr": 400}
MMLU = {
    "humanities": "formal_logic high_school_european_history high_school_us_history high_school_world_history "
    "international_law jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory "
    "professional_law world_religions",
    "social sciences": "econometrics high_school_geography high_school_government_and_politics "
    "high_school_macroeconomics high_school_microeconomics high_school_psychology human_sexuality "
    "professional_psychology public_relations security_studies sociology us_foreign_policy",
    "other": "business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing "
    "medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology",
    "STEM": "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science "
    "college_mathematics college_physics computer_security conceptual_physics electrical_engineering "
    "elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science "
    "high_school_mathematics high_school_physics high_school_statistics machine_learning",
}
SUBJECTS["mmlu"] = tuple(sorted(" ".join(MMLU.values()).split()))


def write_sweep(
    results: Path,
    variants: Mapping[str, tuple[tuple[str, ...], str, int, float, float, float]] = VARIANTS,
    rounds: int = 3,
    requests: int = 140,
    seed: int = 7,
    **changes: Any,
) -> list[Path]:
    """Write the records of a whole sweep; `changes` replace top-level keys of every record."""
    return [
        write(results, {**record(name, number, requests=requests, seed=seed, spec=spec), **changes})
        for number in range(rounds)
        for name, spec in variants.items()
    ]


def write(results: Path, content: Mapping[str, Any]) -> Path:
    """Write one record where a sweep would."""
    commit = msgspec.convert(content["commit"], Commit)
    path = record_path(results, content["machine"]["id"], commit, "", content["variant"], content["round"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def record(
    name: str,
    number: int = 0,
    requests: int = 140,
    seed: int = 7,
    spec: tuple[tuple[str, ...], str, int, float, float, float] | None = None,
) -> dict[str, Any]:
    """Make one record of schema 1; the same model gives the same answers in either runtime."""
    steps, runtime, size, tpot, *shares = spec or VARIANTS[name]
    place = list(VARIANTS).index(name) if name in VARIANTS else 99
    rng = np.random.default_rng([seed, number, place])
    measures = {
        "size": {
            "size_bytes": size,
            "n_parameters": 3_400_000,
            "bits_per_weight": 8 * size / 3_400_000,
            "tensor_types": {"F16": 30, "F32": 9},
        },
        "latency": latency(rng, tpot, requests),
        "memory": {"peak_resident_bytes": 60_000_000 + 2 * size, "peak_device_bytes": None},
    }
    if number == 0:
        model = [step for step in steps if step != "gguf"]
        measures["accuracy"] = {
            task: answers(task, share, model, seed) for task, share in zip(QUESTIONS, shares, strict=True)
        }
    return {
        "schema": 1,
        "variant": name,
        "round": number,
        "status": "ok",
        "cell": f"{place:02d}{number}" * 16,
        "sweep": "embedded-reference",
        "started_at": f"2026-11-23T20:{10 + number * 5:02d}:{place % 60:02d}+00:00",
        "seconds": {"build": 1.5, "measure": 8.0},
        "commit": {"sha": COMMIT, "dirty": False, "tree": "clean"},
        "machine": machine(),
        "versions": {"torch": "2.13.0+cpu", "transformers": "5.0.0", "llama-cpp-python": "0.3.36"},
        "config": {
            "model": {"name": "reference"},
            "variant": {"name": name, "steps": list(steps), "runtime": runtime},
            "steps": {step: {"_target_": TARGETS.get(step, "variants.steps.quantize.Quantize")} for step in steps},
            "runtime": {"name": runtime},
            "measures": {"latency": {"requests": requests}, "accuracy": {}},
            "suite": "embedded",
            "device": {"asked": "auto", "used": "cpu"},
        },
        "lineage": [lineage(steps[: place + 1], size) for place in range(len(steps))],
        "artifact": {"fingerprint": "/".join(steps), "kind": KINDS.get(steps[-1], "gguf")},
        "session": {
            "runtime": runtime, "device": "cpu", "device_name": "Test CPU", "dtype": "f32",
            "gpu_layers": 0, "layers": 4, "threads": 2, "n_ctx": 512,
        },
        "measures": measures,
        "canary": {when: canary(rng) for when in ("before", "after")},
        "warnings": [],
        "error": None,
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """Describe the machine that all records are from."""
    return {
        "id": MACHINE,
        "cpu": "Test CPU",
        "cores": 2,
        "memory_bytes": 8_000_000_000,
        "gpus": [],
        "os": "Linux 6.1",
        "python": "3.11.7",
    }


def canary(rng: np.random.Generator) -> dict[str, float]:
    """Make a reading of a quiet machine."""
    return {"copy_gb_s": 9.0 + rng.normal(0, 0.1), "matmul_gflops": 80.0}


def lineage(steps: Sequence[str], size: int) -> dict[str, Any]:
    """Make the entry of the last of the steps so far."""
    step = steps[-1]
    return {
        "step": step,
        "kind": KINDS.get(step, "gguf"),
        "fingerprint": "/".join(steps),
        "size_bytes": size,
        "build_seconds": 70.0 if step == "lora" else 1.0,
        "build_peak_bytes": 700_000_000,
        "notes": {},
        "warnings": [],
    }


def latency(rng: np.random.Generator, tpot: float, requests: int) -> dict[str, Any]:
    """Make log-normal latencies around a median, in ms."""
    per_token = tpot * rng.lognormal(0, 0.05, requests)
    first = 12 * tpot * rng.lognormal(0, 0.12, requests)
    tokens = [20 + 7 * place % 40 for place in range(requests)]  # all variants are asked the same
    return {
        "loop": "closed",
        "warmup_requests": 5,
        "output_tokens": 32,
        "ttft_ms": first.tolist(),
        "tpot_ms": per_token.tolist(),
        "e2e_ms": (first + 31 * per_token).tolist(),
        "prompt_tokens": tokens,
        "evaluated_tokens": tokens,
    }


def answers(
    task: str, share: float, model: Sequence[str], seed: int = 7, questions: int | None = None
) -> dict[str, Any]:
    """Make a task's outcomes: a hard question is hard for all, so that variants agree on most."""
    subjects = SUBJECTS[task]
    n = questions or QUESTIONS.get(task, 2 * len(subjects))
    shared = np.random.default_rng([seed, n])
    ease, gold = shared.random(n), shared.integers(0, 4, n)
    own = np.random.default_rng([seed, *(ord(letter) for letter in "".join(model))])
    known = ease + own.normal(0, 0.03, n) < share
    picked = np.where(known, gold, (gold + own.integers(1, 4, n)) % 4)
    loglik = own.normal(-12, 1, (n, 4))
    loglik[np.arange(n), picked] = -4.0
    return {
        **asked(task, n),
        "subject": [subjects[i % len(subjects)] for i in range(n)],
        "gold": gold.tolist(),
        "picked": picked.tolist(),
        "loglik": loglik.round(4).tolist(),
    }


def asked(task: str, n: int, tokens: int = 40) -> dict[str, Any]:
    """Make what the columns of any kind of task say of how it was asked and scored."""
    return {
        "version": 1,
        "n": n,
        "truncated": 0,
        "scorer": "1",
        "num_fewshot": 0,
        "chat_template": None,
        "tokenizer": {"compared": n, "different": 0, "example": None},
        "scoring": {
            "requests": 4 * n,
            "tokens": 4 * n * tokens,
            "evaluated_tokens": n * tokens,
            "n_ctx": 512,
            "batch_tokens": 2048,
            "kv_type": "f16",
        },
        "prompt_sha256": f"prompts of {task}",
        "question": [f"{task}-{i:03d}" for i in range(n)],
    }


def generated(share: float, n: int = 50, seed: int = 7) -> dict[str, Any]:
    """Make the outcomes of a task whose answers are generated, each right (1) or wrong (0)."""
    marks = (np.random.default_rng([seed, n]).random(n) < share).astype(int).tolist()
    texts = ["42" if mark else "41" for mark in marks]
    subject = [""] * n
    return {**asked("gsm8k", n), "subject": subject, "metric": "exact_match,strict", "value": marks, "answer": texts}


def rolling(nats_per_word: float, metric: str = "word_perplexity", n: int = 20, seed: int = 7) -> dict[str, Any]:
    """Make the outcomes of a perplexity: a log-likelihood and a number of words per document."""
    rng = np.random.default_rng([seed, n])
    words = rng.integers(50, 200, n)
    values = [[round(-float(w * nats_per_word * rng.normal(1, 0.05)), 4), int(w)] for w in words]
    return {**asked("wikitext", n), "subject": [""] * n, "metric": metric, "value": values}


def divergence(mean_kl: float, base: str = "base", windows: int = 8, window: int = 32, seed: int = 7) -> dict[str, Any]:
    """Make the divergence of a variant from a base: log-normal nats a token, larger in some windows."""
    rng = np.random.default_rng([seed, windows])
    n = windows * window
    kl = mean_kl * np.repeat(rng.lognormal(0, 0.2, windows), window) * rng.lognormal(-0.5, 1, n)
    base_nll = rng.exponential(2.5, n)
    alike = rng.random(n) > np.sqrt(mean_kl) / 2
    return {
        "base": f"artifact-{base}",
        "base_variant": base,
        "text": "7e57" * 16,
        "tokens": n,
        "window": window,
        "kl": kl.round(6).tolist(),
        "same_top": "".join("1" if same else "0" for same in alike),
        "nll": (base_nll + kl).round(5).tolist(),
        "base_nll": base_nll.round(5).tolist(),
        "rounding_floor": 2e-6,
    }


def failed(name: str, number: int = 0, step: str = "lora") -> dict[str, Any]:
    """Make the record of a cell whose build ended in an error."""
    return {
        **record(name, number),
        "status": "failed",
        "lineage": [],
        "artifact": None,
        "session": None,
        "measures": {},
        "canary": None,
        "error": {
            "stage": "build",
            "step": step,
            "type": "MemoryError",
            "message": "out of memory after 3 of 100 steps <killed> | signal 9",
            "traceback": "Traceback (most recent call last): …",
            "log": ".cache/logs/cell.log",
            "reproduce": f"python -m bench.sweep.worker build .cache/cells/{name}.json",
        },
    }


LATENCIES = ("ttft_ms", "tpot_ms", "e2e_ms")
TWELVE = tuple(name for name in VARIANTS if not name.endswith(("torch", "nf4")))
ROUND_SD = 0.015
"""How much the rounds of one variant differ on a quiet machine, as the log-sd of a factor on all its latencies."""


def make_history(root: Path, commits: int, rounds: int = 3, requests: int = 140, **how: Any) -> list[str]:
    """Make a repository of that many commits, each with the records of a sweep; return the commits, oldest first."""
    shas = make_commits(root, commits)
    write_history(root / "results", shas, rounds, requests, **how)
    return shas


def make_commits(root: Path, commits: int) -> list[str]:
    """Make a repository with a straight line of empty commits on `main`, an hour apart; every hundredth is tagged."""
    root.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(commits):
        when = f"t <t@example.com> {1_700_000_000 + 3600 * number} +0000"
        lines += ["commit refs/heads/main", f"committer {when}", f"data <<END\ncommit {number}\nEND\n"]
        if number % 100 == 0:
            lines += [f"tag v{number // 100}", "from refs/heads/main", f"tagger {when}", "data 0\n"]
    for command, text in ((["init", "-q", "-b", "main"], ""), (["fast-import", "--quiet"], "\n".join(lines) + "\n")):
        subprocess.run(["git", "-C", str(root), *command], input=text, text=True, check=True)
    log = ["git", "-C", str(root), "log", "--reverse", "--format=%H", "main"]
    return subprocess.run(log, capture_output=True, text=True, check=True).stdout.split()


def write_history(
    results: Path,
    shas: Sequence[str],
    rounds: int = 3,
    requests: int = 140,
    variants: Sequence[str] = TWELVE,
    slower: Callable[[int, str], float] = lambda place, variant: 1.0,
    seed: int = 7,
) -> None:
    """Write a sweep per commit; `slower(place, variant)` is the true factor on the latencies of a commit.

    Accuracy and size stay what they are: only what a clock gives differs between commits, anew for each record.
    """
    rng = np.random.default_rng(seed)
    texts = {(name, number): _template(name, number, requests) for name in variants for number in range(rounds)}
    for place, sha in enumerate(shas):
        folder = results / MACHINE / sha[:12]
        folder.mkdir(parents=True, exist_ok=True)
        for (name, number), text in texts.items():
            factor = VARIANTS[name][3] * slower(place, name) * rng.lognormal(0, ROUND_SD)
            for key, values in latency(rng, factor, requests).items():
                if key in LATENCIES:
                    text = text.replace(f'"@{key}"', str([round(value, 4) for value in values]).replace(" ", ""))
            text = text.replace(COMMIT, sha).replace("@day", f"{2000 + place // 336}-{place // 28 % 12 + 1:02d}")
            text = text.replace("@of", f"{place % 28 + 1:02d}")
            (folder / f"{name}.r{number}.json").write_text(sealed(text), encoding="utf-8")


def _template(name: str, number: int, requests: int) -> str:
    content = record(name, number, requests)
    content["measures"]["latency"] |= {key: f"@{key}" for key in LATENCIES}
    content["started_at"] = f"@day-@of{content['started_at'][10:]}"
    return dumps(content) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make a scratch repository with made-up records.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    typed = parser.parse_args()
    make_history(typed.out, typed.commits, typed.rounds)
