"""Run a transformers folder (16-bit, NF4 or an adapter on either) in torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from bench.runtimes.session import Prefill
from variants.artifact import Artifact, Kind
from variants.errors import UserError
from variants.process import usable_cores

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Transformers:
    """Transformers in eager mode. `dtype_cpu` and `dtype_cuda` are what it computes in."""

    n_ctx: int
    dtype_cpu: str
    dtype_cuda: str
    n_threads: int | None

    name: ClassVar[str] = "transformers"
    opens: ClassVar[tuple[Kind, ...]] = ("hf", "nf4", "adapter")
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "peft", "bitsandbytes")

    def __post_init__(self) -> None:
        for field in ("dtype_cpu", "dtype_cuda"):
            if getattr(self, field) not in DTYPES:
                raise UserError(f"{field}: got {getattr(self, field)!r}, allowed: {', '.join(DTYPES)}")
        if self.n_ctx < 1:
            raise UserError(f"n_ctx: got {self.n_ctx}, allowed: 1 and more")

    def check_cuda(self) -> None:
        """Raise UserError where torch cannot use a GPU; asked in a process of its own (see bench/judge.py)."""
        if not torch_sees_gpu():
            raise UserError("device=cuda: torch sees no CUDA device (a CPU build, or no GPU); device=cpu runs here")

    def open(self, artifact: Artifact, device: str) -> TransformersSession:
        """Load the folder, and the adapter on top of its base, unmerged."""
        return TransformersSession(self, artifact, device)


@cache
def torch_sees_gpu() -> bool:
    """Return whether torch can use a GPU here."""
    probe = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0


class TransformersSession:
    """One model; every request starts from an empty cache."""

    def __init__(self, runtime: Transformers, artifact: Artifact, device: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(runtime.n_threads or usable_cores())
        dtype = runtime.dtype_cuda if device == "cuda" else runtime.dtype_cpu
        base = artifact.parent if artifact.kind == "adapter" and artifact.parent else artifact
        model: Any = AutoModelForCausalLM.from_pretrained(base.path, dtype=getattr(torch, dtype), device_map=device)
        self._tokenizer = AutoTokenizer.from_pretrained(base.path)
        if artifact.kind == "adapter":
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, artifact.path)
        self._model: Any = model.eval()
        self._device = device
        self.n_ctx = min(runtime.n_ctx, int(model.config.max_position_embeddings))
        self.last_prefill = Prefill(0, 0)
        layers = int(model.config.num_hidden_layers) + 1
        placed = {parameter.device.type for parameter in model.parameters()}
        self.facts: Mapping[str, Any] = {
            "runtime": runtime.name,
            "device": "+".join(sorted(placed)),
            "dtype": f"{'NF4 weights, ' if base.kind == 'nf4' else ''}{dtype} compute",
            "gpu_layers": layers if placed == {"cuda"} else 0,
            "layers": layers,
            "threads": torch.get_num_threads(),
            "n_ctx": self.n_ctx,
            "attention": str(model.config._attn_implementation),
        }

    @property
    def eot_token_id(self) -> int:
        return int(self._tokenizer.eos_token_id)

    @property
    def bos_token_id(self) -> int | None:
        starts = self._tokenizer("").input_ids
        return int(starts[0]) if starts else None

    def tokenize(self, text: str, bos: bool) -> list[int]:
        tokens = list(self._tokenizer(text, add_special_tokens=False).input_ids)
        return [self.bos_token_id, *tokens] if bos and self.bos_token_id is not None else tokens

    def score(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[tuple[float, bool]]:
        import torch

        length = max(len(c) for c in continuations)
        rows = [[*context, *c, *[self.eot_token_id] * (length - len(c))][:-1] for c in continuations]
        logits = self._forward(torch.tensor(rows, device=self._device)).logits
        log_probabilities = torch.log_softmax(logits[:, len(context) - 1 :].double(), dim=-1)
        scores = []
        for row, continuation in zip(log_probabilities, continuations, strict=True):
            wanted = torch.tensor(continuation, device=row.device)
            picked = row[torch.arange(len(continuation)), wanted]
            greedy = bool((row[: len(continuation)].argmax(-1) == wanted).all())
            scores.append((float(picked.sum()), greedy))
        return scores

    def generate(self, prompt: str, n_tokens: int) -> Iterator[int]:
        import torch
        from transformers import DynamicCache

        tokens = self.tokenize(prompt, bos=True)
        if len(tokens) + n_tokens > self.n_ctx:
            raise RuntimeError(f"a prompt of {len(tokens)} tokens and {n_tokens} more do not fit n_ctx={self.n_ctx}")
        cache = DynamicCache(config=self._model.config)
        step = torch.tensor([tokens], device=self._device)
        for remaining in range(n_tokens, 0, -1):
            output = self._forward(step, past_key_values=cache, use_cache=True, logits_to_keep=1)
            if remaining == n_tokens:
                self.last_prefill = Prefill(len(tokens), int(cache.get_seq_length()))
            token = int(output.logits[0, -1].argmax())  # int() waits for the device
            yield token
            if remaining > 1:
                step = torch.tensor([[token]], device=self._device)

    def _forward(self, tokens: Tensor, **options: Any) -> Any:
        import torch

        with torch.inference_mode():
            return self._model(tokens, **options)
