"""What the table compares, each measured in a process of its own: `python -m bench.selftest.gpu.parts JOB.JSON`.

It prints what the part of the job took, as JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.selftest import scoring
from bench.stats.estimates import percentile
from variants.cache import Cache

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

SUBJECTS, QUESTIONS, WHOLE_SUBJECTS, ALL_QUESTIONS = 57, 20, 6, 14_042
BATCHES = (4, 8, 16, 32, 64)
"""Batches of HFLM; the fastest on the questions of a few subjects counts."""
PROMPT_TOKENS, OUTPUT_TOKENS, TURNS = 512, 128, 5
Job = dict[str, Any]


def _questions(job: Job, subjects: int, questions: int | None) -> list[Instance]:
    spread = scoring.subjects(Path(job["mmlu"]), questions, subjects)
    return [one for some in spread for one in some]


def _opened(job: Job) -> scoring.Opened:
    path = Path(job["artifact"])
    return scoring.opened(job["node"], Cache(path.parents[1]).open(path.name), "cuda")


def _decode(job: Job) -> Job:
    """Time what llama-bench times: prompts of random tokens one after another, and tokens behind an empty cache."""
    import numpy as np

    session = _opened(job).session
    rng = np.random.default_rng(0)

    def stamps_ms(n_prompt: int, n_tokens: int) -> list[float]:
        prompt = rng.integers(3, session.vocabulary.n_tokens, n_prompt).tolist()
        start = time.perf_counter()
        return [1e3 * (time.perf_counter() - start) for _ in session.generate(prompt, n_tokens)]

    first = [stamps_ms(PROMPT_TOKENS, 1)[0] for _ in range(TURNS + 2)][2:]
    each = [stamps_ms(1, OUTPUT_TOKENS + 1) for _ in range(TURNS + 1)][1:]
    tpot_ms = [(stamps[-1] - stamps[0]) / OUTPUT_TOKENS for stamps in each]
    return {"ttft_ms": percentile(first, 0.5), "tpot_ms": percentile(tpot_ms, 0.5)}


def _generate(job: Job) -> Job:
    """Time transformers' own greedy generation behind one token, as `_decode` does."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(job["artifact"], dtype=torch.bfloat16)
    model.to("cuda")
    prompt = torch.tensor([[3]], device="cuda")

    def seconds(n: int) -> float:
        start = time.perf_counter()
        model.generate(prompt, do_sample=False, min_new_tokens=n, max_new_tokens=n)
        return time.perf_counter() - start

    each = [seconds(OUTPUT_TOKENS + 1) - seconds(1) for _ in range(TURNS + 1)][1:]
    return {"tpot_ms": 1e3 * percentile(each, 0.5) / OUTPUT_TOKENS}


def _score(job: Job) -> Job:
    """Score the questions from opening on, again for the pace, and a few subjects whole."""
    some, whole = _questions(job, SUBJECTS, QUESTIONS), _questions(job, WHOLE_SUBJECTS, None)
    imports_s = _imports_s()
    start = time.perf_counter()
    opened = _opened(job)
    opened.lm.loglikelihood(some, disable_tqdm=True)
    seconds = time.perf_counter() - start
    shutil.rmtree(Path(job["artifact"]).parents[1] / "scores")
    opened.score.seconds = 0.0
    opened.lm.loglikelihood(some, disable_tqdm=True)
    tokens = opened.lm.scoring["evaluated_tokens"]
    rate = tokens / opened.score.seconds
    cold = {"seconds": seconds, "imports_s": imports_s}
    return cold | {"tokens": tokens, "rate": rate, "whole": _all_of_mmlu(opened.lm, whole)}


def _hflm(job: Job) -> Job:
    """Score the same by lm-eval's own model, from opening on, and subjects whole; halve the batch if need be.

    Its attention may be cuDNN's, which plans each new shape anew, unless the job says that it may not.
    """
    some, whole = _questions(job, SUBJECTS, QUESTIONS), _questions(job, WHOLE_SUBJECTS, None)
    imports_s, batch = _imports_s(), job["batch"]
    import torch

    torch.backends.cuda.enable_cudnn_sdp(job["cudnn"])
    while batch:
        model = None
        try:
            start = time.perf_counter()
            model = _lm_evals_own(job["artifact"], batch)
            model.loglikelihood(some, disable_tqdm=True)
            seconds = time.perf_counter() - start
            return {"batch": batch, "seconds": seconds, "imports_s": imports_s, "whole": _all_of_mmlu(model, whole)}
        except torch.OutOfMemoryError:  # the batch was found on fewer questions
            del model
            torch.cuda.empty_cache()
            batch //= 2
    raise RuntimeError("lm-eval's own model does not fit this card with any batch")


def _imports_s() -> float:
    """Import what both sides open a model with, and start the card; return the seconds."""
    start = time.perf_counter()
    import torch
    import transformers
    from lm_eval.models import huggingface

    assert all((transformers.AutoModelForCausalLM, huggingface.HFLM))  # imported when asked for
    torch.zeros(1, device="cuda")
    return time.perf_counter() - start


def _batch(job: Job) -> Job:
    """Find the fastest batch of lm-eval's own model, warmed."""
    import torch

    some = _questions(job, WHOLE_SUBJECTS, QUESTIONS)
    seconds = {}
    model = _lm_evals_own(job["artifact"], BATCHES[0])
    for batch in BATCHES:
        model.batch_size_per_gpu = batch
        with suppress(torch.OutOfMemoryError):  # it holds the logits of all tokens of a batch
            model.loglikelihood(some[:64], disable_tqdm=True)
            start = time.perf_counter()
            model.loglikelihood(some, disable_tqdm=True)
            seconds[batch] = time.perf_counter() - start
    return {"batch": min(seconds, key=lambda one: seconds[one])}


def _lm_evals_own(folder: str, batch: int) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=folder, dtype="bfloat16", batch_size=batch, device="cuda", max_length=4096)


def _all_of_mmlu(model: Any, questions: Sequence[Instance]) -> float:
    """Return about how many seconds all of MMLU takes, by the seconds of some subjects."""
    start = time.perf_counter()
    model.loglikelihood(questions, disable_tqdm=True)
    n_questions = len({(one.task_name, one.doc_id) for one in questions})
    return (time.perf_counter() - start) * ALL_QUESTIONS / n_questions


PARTS = {"decode": _decode, "generate": _generate, "score": _score, "hflm": _hflm, "batch": _batch}

if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(PARTS[asked["part"]](asked)))
