"""Step `merge`: fold an adapter into 16-bit weights, and check how far that moved the model."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.errors import UserError
from variants.merging.adapter import InPiecesError
from variants.merging.in_memory import merge_in_memory
from variants.merging.merge import ToMerge
from variants.model_folder import copy_tokenizer
from variants.probing.beside import beside
from variants.probing.float32 import expected_memory_bytes, open_in_float32, too_large
from variants.step import Role
from variants.steps.model_checks import refuse_misfit
from variants.steps.probe import compare_merge, probe

if TYPE_CHECKING:
    from torch import Tensor

ONTO = ("16bit", "dequantized")


@dataclass(frozen=True)
class Merge:
    """Merge onto the 16-bit source (`16bit`) or onto the dequantized weights of a 4-bit parent (`dequantized`).

    An adapter trained over NF4 fits the dequantized weights; over the 16-bit ones the rounding it learned to undo
    is missing (peft issues 1043, 2321). Over a 16-bit parent both are the same. Revision 1 rounds once, to the 16-bit
    format of the weights, keeps the names and files of the source, and unties what the adapter makes differ.
    """

    onto: str

    role: ClassVar[Role] = "merge"
    takes: ClassVar[tuple[Kind | None, ...]] = ("adapter",)
    gives: ClassVar[Kind] = "hf"
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "peft", "bitsandbytes")
    on_device: ClassVar[bool] = False
    revision: ClassVar[int] = 1
    expected_cost: ClassVar[float] = 4.0

    def __post_init__(self) -> None:
        if self.onto not in ONTO:
            raise UserError(f"onto: got {self.onto!r}, allowed: {', '.join(ONTO)}")

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Write the merged 16-bit weights; note their divergence from the unmerged model as it was trained.

        That model computes while the weights are written. `write_seconds` leave out what was opened before.
        """
        assert parent is not None
        assert parent.parent is not None
        trained_on, source = parent.parent, _sixteen_bit(parent.parent)
        target = source if self.onto == "16bit" else trained_on
        warnings: tuple[str, ...] = ()
        compared: dict[str, object] = {}
        started = time.monotonic()
        try:
            to_merge = ToMerge.of(parent.path, target.path, source.path)
        except InPiecesError:
            to_merge = None
            merged = merge_in_memory(parent.path, target.path, out, packed=target.kind == "nf4")
            warnings = ("merged by peft with the whole model in memory: its experts are stored in pieces",)
        gc.collect()  # a model is a circle of references
        why_not = too_large([trained_on.path, source.path])
        with ExitStack() as meanwhile:
            # Opened before anything is written: opening sets torch's default type of numbers, for all threads.
            before = None if why_not else meanwhile.enter_context(_computing(trained_on.path, parent.path))
            if to_merge:
                started = time.monotonic()
                merged = to_merge.write(out)
            copy_tokenizer(parent.path, out)
            written = time.monotonic()
            if before:
                logits = before()
                gc.collect()
                compared = compare_merge(logits, out)
            else:
                warnings += (f"the merged model was not compared with its adapter: {why_not}",)
        refuse_misfit(out)
        return StepReport(
            notes={
                "onto": self.onto,
                "merged_onto": target.fingerprint,
                "trained_on": trained_on.fingerprint,
                "trained_on_kind": trained_on.kind,
                "dtype": merged.dtype,
                "untied": list(merged.untied),
                **compared,
                "write_seconds": round(written - started, 3),
                "compare_seconds": round(time.monotonic() - written, 3),
            },
            warnings=warnings,
            checksums=merged.checksums,
        )

    def expected_bytes(self, n_parameters: int) -> int:
        """Return the bytes of 16-bit weights."""
        return 2 * n_parameters

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return the memory of the comparison, which holds what computes; merging itself holds blocks of a tensor."""
        return expected_memory_bytes(n_parameters)


def _computing(model: Path, adapter: Path) -> AbstractContextManager[Callable[[], Tensor]]:
    """Open a model with its adapter, and let it compute beside what comes next."""
    return beside(partial(probe, open_in_float32(model, adapter)))


def _sixteen_bit(artifact: Artifact) -> Artifact:
    return next(a for a in reversed(artifact.lineage()) if a.kind == "hf")
