"""Divergence from the base of the same runtime: it shows changes that are too small to move accuracy."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.measures.measure import Progress, Reference, Subject
from bench.steps.base_logprobs import BaseValues, LogProbs, divergence, evaluated
from bench.tasks import catalogue
from bench.tasks import fetch as hub
from variants.configure import check_least
from variants.errors import UserError
from variants.paths import resolve
from variants.step import CONTENT, PLACE


@dataclass(frozen=True)
class Divergence:
    """Compare the next-token distributions over a text with the base's (as llama.cpp's perplexity --kl-divergence).

    `base` names the variant of each runtime that the others are compared with. The text is a file, or where `text` is
    null the questions and right answers of `tasks`: `tokens` of it, in windows of `window` drawn by `seed`.
    """

    base: dict[str, str]
    text: str | None = field(metadata=CONTENT)
    tasks: list[str]
    data_dir: str | None = field(metadata=PLACE)
    tokens: int
    window: int
    seed: int

    name: ClassVar[str] = "divergence"
    tools: ClassVar[tuple[str, ...]] = ("lm-eval",)

    def __post_init__(self) -> None:
        check_least(self, tokens=1, window=2)
        if self.text is None:
            catalogue.check(self.tasks, catalogue.folder_of(self.data_dir), None)
            return
        if not resolve(self.text).is_file():
            raise UserError(f"text: got {self.text}, no such file; relative ones start at the project's folder")
        try:
            resolve(self.text).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"text: got {self.text}, allowed: UTF-8, which it is not from byte {error.start:,} on"
            ) from None

    def data(self) -> Mapping[str, object]:
        """Return the labels of the tasks, and the sha256 of each file behind them."""
        return catalogue.identity(self.tasks, self.data_dir)

    def fetch(self) -> None:
        """Fetch the text of the tasks where it comes from the hub. Raises UserError where it is unavailable."""
        if self.text is None:
            hub.fetch(hub.from_hub(self.tasks, self.data_dir), self.data_dir)

    def reference(self, runtime: str, node: Mapping[str, object]) -> Reference:
        """Return the step that evaluates the base of a runtime; its `content` identifies the text of the tasks."""
        variant = self.base.get(runtime, "null")
        content = {} if self.text else catalogue.content(self.tasks, catalogue.folder_of(self.data_dir))
        step = {
            "_target_": f"{LogProbs.__module__}.{LogProbs.__name__}",
            "variant": variant,
            "runtime": dict(node),
            "content": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            **{name: getattr(self, name) for name in ("text", "tasks", "data_dir", "tokens", "window", "seed")},
        }
        return Reference(f"{self.name}.base.{runtime}", variant, "logprobs", step)

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Mapping[str, object]:
        """Return, per token, kl (nats), nll and base_nll (-log p of the token), and whether the top token is the same.

        Windows of `window` consecutive entries are evaluated apart from each other. `rounding_floor` is the mean KL
        that keeping the base in half precision makes by itself. Raises RuntimeError where the vocabularies differ.
        """
        reference, session = subject.reference, subject.session
        assert reference is not None
        assert reference.parent is not None
        kept = BaseValues.open(reference.path)
        n, n_vocab = kept.log_probabilities.shape
        if n_vocab != session.vocabulary.n_tokens:
            raise RuntimeError(f"{session.vocabulary.n_tokens} tokens in the vocabulary, {n_vocab} in the base's")
        kl, nll, same = np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool)
        done = 0
        for reads, targets, rows in evaluated(session, kept.windows):
            kl[reads] = divergence(rows, kept.rows(reads))
            nll[reads] = -rows[np.arange(len(reads)), targets]
            same[reads] = rows.argmax(-1) == kept.top[reads]
            done += len(reads)
            progress("divergence", done, n)
        floor = reference.notes["rounding_floor"]
        return {
            "base": reference.parent.fingerprint,
            "base_variant": reference.notes["variant"],
            "text": reference.notes["tokens_sha256"],
            "tokens": n,
            "window": self.window,
            "kl": [float(f"{value:.4g}") if math.isfinite(value) else None for value in kl],
            "same_top": "".join("01"[int(value)] for value in same),
            "nll": _rounded(nll),
            "base_nll": _rounded(kept.nll),
            "rounding_floor": None if floor is None else float(f"{floor:.4g}"),
        }


def _rounded(values: NDArray[np.float64] | NDArray[np.float32]) -> list[float | None]:
    return [round(float(value), 4) if math.isfinite(value) else None for value in values]
