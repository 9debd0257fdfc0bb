"""Step `merge`: fold an adapter into 16-bit weights, and check how far that moved the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.errors import UserError
from variants.load import load_model
from variants.model_folder import copy_tokenizer
from variants.step import Role
from variants.steps.probe import compare, probe

ONTO = ("16bit", "dequantized")


@dataclass(frozen=True)
class Merge:
    """Merge onto the 16-bit source (`16bit`) or onto the dequantized weights of a 4-bit parent (`dequantized`).

    An adapter trained over NF4 fits the dequantized weights; over the 16-bit ones the rounding it learned to undo
    is missing (peft issues 1043, 2321). Over a 16-bit parent both are the same.
    """

    onto: str

    role: ClassVar[Role] = "merge"
    takes: ClassVar[tuple[Kind | None, ...]] = ("adapter",)
    gives: ClassVar[Kind] = "hf"
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "peft")
    on_device: ClassVar[bool] = False
    revision: ClassVar[int] = 0
    expected_cost: ClassVar[float] = 4.0

    def __post_init__(self) -> None:
        if self.onto not in ONTO:
            raise UserError(f"onto: got {self.onto!r}, allowed: {', '.join(ONTO)}")

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Save merged bfloat16 weights; note their divergence from the unmerged model as it was trained."""
        import torch
        from peft import PeftModel

        assert parent is not None
        assert parent.parent is not None
        trained_on = parent.parent
        target = _sixteen_bit(trained_on) if self.onto == "16bit" else trained_on
        trained = PeftModel.from_pretrained(load_model(trained_on.path, "float32", "cpu"), parent.path)
        before = probe(trained.eval())
        del trained  # two copies of a large model in float32 are one too many
        base = load_model(target.path, "float32", "cpu")
        if target.kind == "nf4":
            base = base.dequantize()
        adapted = PeftModel.from_pretrained(base.float(), parent.path)
        merged = adapted.merge_and_unload()
        if hasattr(merged.config, "quantization_config"):
            del merged.config.quantization_config
        merged = merged.to(torch.bfloat16)
        merged.save_pretrained(out)
        copy_tokenizer(parent.path, out)
        saved = load_model(out, "float32", "cpu")
        divergence, same_top = compare(before, probe(saved.eval()))
        return StepReport(
            notes={
                "onto": self.onto,
                "merged_onto": target.fingerprint,
                "trained_on": trained_on.fingerprint,
                "trained_on_kind": trained_on.kind,
                "merge_mean_kl": divergence,
                "merge_same_top_share": same_top,
                "probe_tokens": len(before),
            }
        )

    def expected_bytes(self, n_parameters: int) -> int:
        """Return the bytes of 16-bit weights."""
        return 2 * n_parameters


def _sixteen_bit(artifact: Artifact) -> Artifact:
    return next(a for a in reversed(artifact.lineage()) if a.kind == "hf")
