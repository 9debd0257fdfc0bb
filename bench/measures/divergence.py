"""Divergence from the base of the same runtime: it shows changes that are too small to move accuracy.

And from the variant's own model before it was quantized: that alone is the loss by quantization.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.measures.measure import Progress, Reference, Subject
from bench.steps.base_logprobs import BaseValues, LogProbs, Rows, divergence, evaluated
from bench.tasks import catalogue, fetch
from variants.artifact import Artifact
from variants.configure import check_least, nearest
from variants.data.text import read_text
from variants.errors import UserError
from variants.paths import ROOT, resolve
from variants.step import CONTENT, PERMISSION, PLACE, Planned


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
    trust_tasks: bool = field(default=False, metadata=PERMISSION)

    name: ClassVar[str] = "divergence"
    tools: ClassVar[tuple[str, ...]] = ("lm-eval",)
    timed: ClassVar[bool] = False
    of_answers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_least(self, tokens=1, window=2)
        runtimes = sorted(path.stem for path in (ROOT / "conf/runtime").glob("*.yaml"))
        for name in self.base:
            if name not in runtimes:
                raise UserError(f"base.{name}: no such runtime; {nearest(name, runtimes)}")
        if self.text is None:
            catalogue.check(self.tasks, catalogue.folder_of(self.data_dir), None, self.trust_tasks)
            return
        if not resolve(self.text).is_file():
            raise UserError(f"text: got {self.text}, no such file; relative ones start at the project's folder")
        try:
            read_text(resolve(self.text))
        except UserError as error:
            raise UserError(f"text: {error}") from None

    def data(self) -> Mapping[str, object]:
        """Return the labels of the tasks, and the sha256 of each file behind them."""
        return catalogue.identity(self.tasks, self.data_dir)

    def fetch(self) -> None:
        """Fetch the text of the tasks where it comes from the hub. Raises UserError where it is unavailable."""
        if self.text is None:
            fetch.fetch(self.tasks, self.data_dir, self.trust_tasks)

    def references(self, chain: Sequence[Planned], runtime: str, node: Mapping[str, object]) -> Mapping[str, Reference]:
        """Return the steps that evaluate the base of a runtime, and the variant's own model before it was quantized.

        A variant whose last step does not quantize has no such model: it is not quantized, or, like QLoRA's adapter, it
        was trained on quantized weights and never was anything else.
        """
        variant = self.base.get(runtime, "null")
        references = {"base": self._reference(f"{self.name}.base.{runtime}", variant, (), node)}
        unquantized = list(chain)
        while unquantized and unquantized[-1].step.role == "quantize":
            unquantized.pop()
        if 0 < len(unquantized) < len(chain) and unquantized[-1].step.gives in LogProbs.takes:
            steps = tuple(planned.name for planned in unquantized)
            references["parent"] = self._reference(self.name, " → ".join(steps), steps, node)
        return references

    def _reference(self, key: str, variant: str, steps: tuple[str, ...], node: Mapping[str, object]) -> Reference:
        """Return the step that keeps a model's log-probabilities; `content` identifies the text of the tasks."""
        content = {} if self.text else catalogue.content(self.tasks, catalogue.folder_of(self.data_dir))
        step = {
            "_target_": f"{LogProbs.__module__}.{LogProbs.__name__}",
            "variant": variant,
            "runtime": dict(node),
            "content": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            **{name: getattr(self, name) for name in ("text", "tasks", "data_dir", "tokens", "window", "seed")},
            "trust_tasks": self.trust_tasks,
        }
        return Reference(key, variant, "logprobs", step, steps)

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Mapping[str, object]:
        """Return, per token, kl (nats), nll and base_nll (-log p of the token), and whether the top token is the same.

        Windows of `window` consecutive entries are evaluated apart from each other. `rounding_floor` is the mean KL
        that keeping the base in half precision makes by itself. `parent` is the fingerprint of the model before it was
        quantized; its columns are kl and same_top again, absent where the parent is the base. Raises RuntimeError where
        vocabularies or texts differ.
        """
        session = subject.session
        distances = {name: _Distance(reference) for name, reference in subject.references.items()}
        base, parent = distances["base"], distances.get("parent")
        if parent and parent.model == base.model:
            distances.pop("parent")
        windows = base.kept.windows
        for distance in distances.values():
            distance.check(session.vocabulary.n_tokens, windows)
        nll, done = np.zeros(windows.size), 0
        for reads, targets, rows in evaluated(session, subject.artifact, windows):
            nll[reads] = -rows[np.arange(len(reads)), targets]
            for distance in distances.values():
                distance.take(reads, rows)
            done += len(reads)
            progress("divergence", done, windows.size)
        return {
            "base": base.model,
            "base_variant": base.reference.notes["variant"],
            "text": base.reference.notes["tokens_sha256"],
            "tokens": windows.size,
            "window": self.window,
            "nll": _rounded(nll),
            "base_nll": _rounded(base.kept.nll),
            **base.columns(),
            "parent": parent.model if parent else None,
            **(distances["parent"].columns("parent_") if "parent" in distances else {}),
        }


class _Distance:
    """The distance to one reference, token by token."""

    def __init__(self, reference: Artifact) -> None:
        assert reference.parent is not None
        self.reference = reference
        self.model = reference.parent.fingerprint
        self.kept = BaseValues.open(reference.path)
        self.kl = np.zeros(self.kept.windows.size)
        self.same_top = np.zeros(self.kept.windows.size, dtype=bool)

    def check(self, n_vocab: int, windows: NDArray[np.int32]) -> None:
        """Raise RuntimeError where the reference has another vocabulary, or another text than these windows."""
        name, kept = self.reference.notes["variant"], self.kept.log_probabilities.shape[1]
        if kept != n_vocab:
            raise RuntimeError(f"{n_vocab} tokens in the vocabulary, {kept} in that of {name}")
        if not np.array_equal(self.kept.windows, windows):
            raise RuntimeError(f"{name} reads the text as other tokens than the base: their tokenizers differ")

    def take(self, reads: NDArray[np.int32], rows: Rows) -> None:
        """Compare the log-probabilities of some tokens."""
        self.kl[reads] = divergence(rows, self.kept.rows(reads))
        self.same_top[reads] = rows.argmax(-1) == self.kept.top[reads]

    def columns(self, prefix: str = "") -> dict[str, object]:
        """Return what is recorded."""
        floor = self.reference.notes["rounding_floor"]
        return {
            f"{prefix}kl": [float(f"{value:.4g}") if math.isfinite(value) else None for value in self.kl],
            f"{prefix}same_top": "".join("01"[int(value)] for value in self.same_top),
            f"{prefix}rounding_floor": None if floor is None else float(f"{floor:.4g}"),
        }


def _rounded(values: NDArray[np.float64] | NDArray[np.float32]) -> list[float | None]:
    return [round(float(value), 4) if math.isfinite(value) else None for value in values]
