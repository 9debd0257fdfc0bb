"""Run a transformers folder (16-bit, NF4, int8 or an adapter on one of them) in torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.forest import Block, Limits
from bench.runtimes.rounding import SHARING_BOUND, multiplies_in, without_outliers
from bench.runtimes.session import LOGITS_BYTES, RECURRENT, Facts, Prefill, Read, ScoringRoom, Vocabulary
from variants.artifact import Artifact, Kind
from variants.child import start
from variants.configure import check_choices, check_least
from variants.errors import UserError
from variants.load import load_model
from variants.process import SPLITS, usable_cores
from variants.steps.model_checks import longest_text, text_config
from variants.tokenizer.framing import all_bare_tokens, bare_tokens, framing_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from bench.runtimes.decoder import Decoder
    from bench.runtimes.torch_trunk import BlockEvaluation, Trunk

DTYPES = ("float32", "bfloat16", "float16")
NOT_SHARED = "this model's layers cannot be evaluated behind a shared prefix, so it is not scored"
LOGITS_BYTES_CUDA = 256 * 2**20
"""The most that the logits of one evaluation may take on a GPU, whose blocks have more texts."""


@dataclass(frozen=True)
class Transformers:
    """Transformers without torch.compile. `dtype_cpu` and `dtype_cuda` are what it computes in.

    `split: layers` spreads a model's layers over all cards that this process sees, `none` takes the first one.
    """

    n_ctx: int
    score_tokens_cpu: int
    score_tokens_cuda: int
    dtype_cpu: str
    dtype_cuda: str
    n_threads: int | None
    split: str

    name: ClassVar[str] = "transformers"
    opens: ClassVar[tuple[Kind, ...]] = ("hf", "nf4", "int8", "adapter")
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "peft", "bitsandbytes")
    expected_cost: ClassVar[float] = 12.0
    shares_card: ClassVar[bool] = False  # what a layer keeps meanwhile differs by architecture

    def __post_init__(self) -> None:
        check_choices(self, dtype_cpu=DTYPES, dtype_cuda=DTYPES, split=SPLITS)
        check_least(self, n_ctx=1, score_tokens_cpu=1, score_tokens_cuda=1, n_threads=1)

    def check_cuda(self) -> None:
        """Raise UserError where torch cannot use a GPU; a child process looks (why: scoring/lm_eval_process.py)."""
        if not torch_sees_gpu():
            raise UserError("device=cuda: torch sees no CUDA device (a CPU build, or no GPU); device=cpu runs here")

    def open(self, artifact: Artifact, device: str) -> TransformersSession:
        """Load the folder, and the adapter on top of its base, unmerged."""
        return TransformersSession(self, artifact, device)


@cache
def torch_sees_gpu() -> bool:
    """Return whether torch can use a GPU here."""
    probe = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True, **start()).returncode == 0


class TransformersSession:
    """One model; every request starts from an empty cache."""

    def __init__(self, runtime: Transformers, artifact: Artifact, device: str) -> None:
        import torch
        from transformers import AutoTokenizer

        torch.set_num_threads(runtime.n_threads or usable_cores())
        dtype = runtime.dtype_cuda if device == "cuda" else runtime.dtype_cpu
        base = artifact.parent if artifact.kind == "adapter" and artifact.parent else artifact
        model = load_model(base.path, dtype, "balanced" if runtime.split == "layers" and device == "cuda" else device)
        self._tokenizer = AutoTokenizer.from_pretrained(base.path, trust_remote_code=False)
        if artifact.kind == "adapter":
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, artifact.path)
        self._model: PreTrainedModel = model.eval()
        self._device = device
        self._score_tokens = runtime.score_tokens_cuda if device == "cuda" else runtime.score_tokens_cpu
        self._trunk: Trunk | None = None
        self._decoder: Decoder | None = None
        self._evaluation: Future[BlockEvaluation] | None = None
        self._config = text_config(model)
        self.n_ctx = min(runtime.n_ctx, longest_text(self._config) or runtime.n_ctx)
        self.vocabulary = self._vocabulary()
        products = multiplies_in(model, base.kind, dtype, device)
        packed = f", {base.kind.upper()} weights multiplied in {products}" if base.kind != "hf" else ""
        self._sharing_bound = max(SHARING_BOUND[dtype], SHARING_BOUND[products])
        layers = int(self._config.num_hidden_layers) + 1
        placed = {parameter.device.type for parameter in model.parameters()}
        if device == "cuda" and placed != {device}:  # accelerate fills what is free of the cards, then other memory
            raise UserError(
                f"split={runtime.split}: the cards have no room for the whole model now, and the rest would compute "
                "elsewhere; end what else uses them, or take a smaller variant"
            )
        self.tools = runtime.tools
        self.facts: Facts = {
            "runtime": runtime.name,
            "device": "+".join(sorted(placed)),
            "dtype": f"{dtype} compute" + packed,
            "gpu_layers": layers if placed == {"cuda"} else 0,
            "layers": layers,
            "threads": torch.get_num_threads(),
            "n_ctx": self.n_ctx,
            "attention": str(model.config._attn_implementation) + (" without cuDNN" if device == "cuda" else ""),
            "split": runtime.split,
        }

    def _vocabulary(self) -> Vocabulary:
        texts, template = self._tokenizer.special_tokens_map, self._tokenizer.chat_template
        return Vocabulary(
            n_tokens=int(self._config.vocab_size),
            framing=framing_of(self._tokenizer),
            texts={name: str(text) for name, text in texts.items() if name in ("bos_token", "eos_token")},
            chat_template=template.get("default") if isinstance(template, dict) else template,
        )

    def tokenize(self, text: str, bos: bool) -> list[int]:
        tokens = bare_tokens(self._tokenizer, text)
        return self.vocabulary.framing.framed(text, tokens) if bos else tokens

    def tokenize_all(self, texts: Sequence[tuple[str, bool]]) -> list[NDArray[np.int32]]:
        bare, framing = all_bare_tokens(self._tokenizer, [text for text, _ in texts]), self.vocabulary.framing
        before = ([*framing.before(text)] if bos else [] for text, bos in texts)
        return [np.array(start + tokens, dtype=np.int32) for start, tokens in zip(before, bare, strict=True)]

    def detokenize(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def ends(self, token: int) -> bool:
        ends = self._model.generation_config.eos_token_id
        return token in (self.vocabulary.framing.end, *(ends if isinstance(ends, list) else [ends]))

    def generate(self, tokens: Sequence[int], n_tokens: int) -> Iterator[int]:
        if len(tokens) + n_tokens > self.n_ctx:
            raise RuntimeError(f"a prompt of {len(tokens)} tokens and {n_tokens} more do not fit n_ctx={self.n_ctx}")
        self.prepare_decoding()
        assert self._decoder is not None
        yield from self._decoder.generate(tokens, n_tokens)

    @property
    def last_prefill(self) -> Prefill:
        return self._decoder.prefill if self._decoder else Prefill(0, 0)

    def prepare_decoding(self) -> None:
        """Find the fastest way to decode on a GPU, which takes a second, and state it in the facts."""
        from bench.runtimes.decoder import FromPython
        from bench.runtimes.decoding import decoder_of

        if self._evaluation:
            self._evaluation.exception()  # wait: it calls the model
        if self._decoder is not None:
            return
        if self._device == "cuda":
            self._trunk = None  # its room is the graph's now
            made = decoder_of(self._model, self.n_ctx, self._forward, self._sharing_bound)
            self._decoder, self.facts["decoding"] = made
        else:
            self._decoder = FromPython(self._model, self._forward)

    def prepare_scoring(self) -> None:
        """Try what a GPU can do of it: its kernels are compiled at their first use on a machine, in seconds."""
        from bench.runtimes.torch_trunk import choose_evaluation

        def tried() -> BlockEvaluation:
            with without_outliers(self._model):
                return choose_evaluation(self._model, self._forward, self.n_ctx, self._sharing_bound)

        if self._evaluation is None:
            self._evaluation = ThreadPoolExecutor(1).submit(tried)

    def _chosen_evaluation(self) -> BlockEvaluation:
        self.prepare_scoring()
        assert self._evaluation is not None
        return self._evaluation.result()

    def start_scoring(self, longest: int) -> tuple[Limits, ScoringRoom]:
        """Make the cache just large enough: the longest path and one block."""
        from bench.runtimes.block_size import block_tokens
        from bench.runtimes.torch_trunk import Trunk, fixed_rope

        fixed = fixed_rope(self._config)
        if fixed is not None and longest > fixed:
            raise RuntimeError(
                f"this model's positions change for texts of more than {fixed:,} tokens, one here has {longest:,}: "
                f"set runtime.transformers.n_ctx to {fixed}"
            )
        evaluation = self._chosen_evaluation()
        self._trunk = None  # its room is free for the next one
        tokens = block_tokens(self._model, evaluation.attention is None, self._score_tokens, longest)
        room = longest + tokens
        self._trunk = Trunk(self._model, room, evaluation)
        logits_bytes = LOGITS_BYTES_CUDA if self._device == "cuda" else LOGITS_BYTES
        rows = max(1, logits_bytes // (4 * self.vocabulary.n_tokens))
        chosen: ScoringRoom = {
            "n_ctx": self.n_ctx,
            "cache_tokens": room,
            "batch_tokens": tokens,
            "kv_type": self._kv_type(),
            "attention": evaluation.kept_apart_by,
            "fused": evaluation.replaced,
        }
        return Limits(tokens, tokens, rows), chosen

    def check_sharing(self) -> None:
        """Compare a path that forks off another with the model's own masks; raise RuntimeError where they differ.

        Some architectures ignore the mask that is passed to them (alibi, local or chunked attention, recurrence).
        """
        import torch

        from bench.runtimes import torch_trunk

        if torch_trunk.recurrent(self._config):
            raise RuntimeError(RECURRENT)
        length, paths = min(self.n_ctx, torch_trunk.CHECKED_TOKENS), torch_trunk.FORKED_PATHS
        limits = Limits(min(self._score_tokens, max(1, length // 3)), paths, paths)
        trunk = torch_trunk.Trunk(self._model, length + limits.tokens, self._chosen_evaluation())
        try:
            with without_outliers(self._model):
                n_words = self.vocabulary.n_tokens
                differences = torch_trunk.fork_differences(trunk, self._forward, n_words, length, limits)
        except torch.OutOfMemoryError:
            raise
        except torch_trunk.ERRORS as error:
            raise RuntimeError(f"{NOT_SHARED} ({torch_trunk.reason_of(error)})") from error
        if worse := [one for one in differences if not one <= self._sharing_bound]:  # also what is no number
            raise RuntimeError(f"{NOT_SHARED}: log-probabilities differ by {worse[0]:.2g} nats in the mean")

    def _kv_type(self) -> str:
        return str(self._model.dtype).removeprefix("torch.")

    def evaluate(self, blocks: Iterable[Block]) -> Iterator[Read]:
        pending: Callable[[], Read] | None = None
        for block in blocks:
            started = self._start(block)  # a GPU works on it while the next block is made
            if pending is not None:
                yield pending()
            pending = started
        if pending is not None:
            yield pending()

    def _start(self, block: Block) -> Callable[[], Read]:
        """Evaluate a block; return a function that waits for its numbers."""
        import torch

        from bench.runtimes.transfer import arriving, indexes

        logits = self._logits(block)
        if not len(block.reads):
            return lambda: (np.zeros(0), np.zeros(0, dtype=bool))
        rows = torch.log_softmax(logits.float(), dim=-1)
        targets, read_rows = (indexes(values, rows.device) for values in (block.targets, block.read_rows))
        numbers = arriving(rows[read_rows, targets].double(), rows.argmax(-1)[read_rows] == targets)

        def wait() -> Read:
            picked, greedy = numbers()
            return picked, greedy

        return wait

    def log_probabilities(self, block: Block) -> NDArray[np.float32]:
        import torch

        values: NDArray[np.float32] = torch.log_softmax(self._logits(block).float(), dim=-1).cpu().numpy()
        return values

    def _logits(self, block: Block) -> Tensor:
        assert self._trunk is not None
        return self._trunk.evaluate(block, self._forward)

    def _forward(self, tokens: Tensor, **options: object) -> Tensor:
        import torch

        with torch.inference_mode():
            logits: Tensor = self._model(tokens, **options).logits
        return logits
