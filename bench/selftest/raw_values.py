"""Raw values as a measure returns them, made up from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Columns = dict[str, Any]
"""One measure of a record, as JSON."""


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


def latency(rng: np.random.Generator, tpot: float, requests: int) -> Columns:
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


def answers(task: str, share: float, model: Sequence[str], seed: int = 7, questions: int | None = None) -> Columns:
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


def asked(task: str, n: int, tokens: int = 40) -> Columns:
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


def generated(share: float, n: int = 50, seed: int = 7) -> Columns:
    """Make the outcomes of a task whose answers are generated, each right (1) or wrong (0)."""
    marks = (np.random.default_rng([seed, n]).random(n) < share).astype(int).tolist()
    texts = ["42" if mark else "41" for mark in marks]
    subject = [""] * n
    return {**asked("gsm8k", n), "subject": subject, "metric": "exact_match,strict", "value": marks, "answer": texts}


def rolling(nats_per_word: float, metric: str = "word_perplexity", n: int = 20, seed: int = 7) -> Columns:
    """Make the outcomes of a perplexity: a log-likelihood and a number of words per document."""
    rng = np.random.default_rng([seed, n])
    words = rng.integers(50, 200, n)
    values = [[round(-float(w * nats_per_word * rng.normal(1, 0.05)), 4), int(w)] for w in words]
    return {**asked("wikitext", n), "subject": [""] * n, "metric": metric, "value": values}


def divergence(mean_kl: float, base: str = "base", windows: int = 8, window: int = 32, seed: int = 7) -> Columns:
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
