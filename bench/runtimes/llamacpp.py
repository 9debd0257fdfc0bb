"""Run a GGUF file in process, over llama.cpp's low-level API."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from bench.runtimes.forest import Block, Limits
from bench.runtimes.llama.context import CELLS, SAMPLING, Context, ContextShape
from bench.runtimes.llama.side_by_side import Contexts
from bench.runtimes.logits import LogitsReader
from bench.runtimes.session import LOGITS_BYTES, RECURRENT, SIDE_BY_SIDE, Facts, Prefill, Read, ScoringRoom, Vocabulary
from variants.artifact import Artifact, Kind
from variants.configure import check_choices, check_least
from variants.errors import UserError
from variants.process import SPLITS, available_bytes, usable_cores
from variants.steps.llama_log import captured_log, offloads
from variants.tokenizer.framing import Framing
from variants.weights import gguf_header

ALL_LAYERS, NO_GPU = 999, -1
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
KV_TYPES = {"f16": (llama_cpp.GGML_TYPE_F16, 2), "f32": (llama_cpp.GGML_TYPE_F32, 4)}
"""llama.cpp's number of a type, and the bytes of one value."""
PATHS = 63
"""Sequences beside the trunk: few blocks need more, and each costs llama.cpp a row of logits."""
SPLIT_MODES = dict(zip(SPLITS, (llama_cpp.LLAMA_SPLIT_MODE_NONE, llama_cpp.LLAMA_SPLIT_MODE_LAYER), strict=True))
LEAST_TOKENS = 16
LONG_ROPE = "rope_factors_long.weight"
"""LongRoPE (Phi-3): llama.cpp takes these factors where the cache is longer than the original context."""


@dataclass(frozen=True)
class LlamaCpp:
    """llama.cpp through llama-cpp-python. `n_threads: null` takes every core that this process may use.

    `split: layers` spreads a model's layers over all cards that are visible; `none` takes the first one.
    """

    n_ctx: int
    n_batch: int
    score_tokens_cpu: int
    score_tokens_cuda: int
    n_threads: int | None
    flash_attention: str
    kv_type: str
    sampling_cuda: str
    split: str

    name: ClassVar[str] = "llamacpp"
    opens: ClassVar[tuple[Kind, ...]] = ("gguf",)
    tools: ClassVar[tuple[str, ...]] = ("llama-cpp-python",)
    expected_cost: ClassVar[float] = 1.0
    shares_card: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choices(self, flash_attention=FLASH_ATTENTION, kv_type=KV_TYPES, sampling_cuda=SAMPLING, split=SPLITS)
        check_least(self, n_ctx=1, n_batch=1, score_tokens_cpu=2, score_tokens_cuda=2, n_threads=1)

    def check_cuda(self) -> None:
        """Raise UserError where this llama.cpp cannot use a GPU."""
        if not offloads():
            raise UserError("device=cuda: this llama.cpp is a CPU build; run `make setup CUDA=1`, or device=cpu")

    def open(self, artifact: Artifact, device: str) -> LlamaCppSession:
        """Load the GGUF file with all layers on `device`."""
        if device == "cuda":
            self.check_cuda()
        elif self.split != "none":
            raise UserError(f"split: got {self.split} on a CPU, allowed: none; layers are split over GPUs")
        return LlamaCppSession(self, artifact, device)


class LlamaCppSession:
    """One model, and contexts of one shape at a time: for requests, each from an empty cache, or for scoring."""

    def __init__(self, runtime: LlamaCpp, artifact: Artifact, device: str) -> None:
        path = artifact.gguf()
        tensors = {tensor.name for tensor in gguf_header(path)}  # llama.cpp aborts the process on some broken files
        model_params = llama_cpp.llama_model_default_params()
        model_params.n_gpu_layers = ALL_LAYERS if device == "cuda" else 0
        model_params.split_mode = SPLIT_MODES[runtime.split]
        model_params.main_gpu = 0 if device == "cuda" else NO_GPU
        with captured_log() as log:
            self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_params)
        if not self._model:
            raise RuntimeError(f"llama.cpp could not load {path}: {log.reason}")
        offloaded = re.search(r"offloaded (\d+)/(\d+) layers to GPU", log.text)
        if device == "cuda" and not offloaded:
            raise RuntimeError(f"asked for the GPU, llama.cpp put no layer on it ({log.reason})")
        self._runtime = runtime
        self._on_gpu = device == "cuda"
        trained = llama_cpp.llama_model_n_ctx_train(self._model)
        self.n_ctx = min(runtime.n_ctx, trained)
        self._n_threads = runtime.n_threads or usable_cores()
        self._short_rope = None
        if LONG_ROPE in tensors:
            self._short_rope = self._number("rope.scaling.original_context_length") or trained  # as llama.cpp
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.vocabulary = self._vocabulary()
        self._contexts: Contexts | None = None
        self._serving = self._shape(self.n_ctx, min(runtime.n_batch, self.n_ctx), 1, 1, serves=True)
        self._logits = LogitsReader(self._n_threads)
        self.last_prefill = Prefill(0, 0)
        self.tools = runtime.tools
        self.facts: Facts = {
            "runtime": runtime.name,
            "device": device,
            "dtype": f"weights as stored, KV {runtime.kv_type}",
            "gpu_layers": int(offloaded[1]) if offloaded else 0,
            "layers": llama_cpp.llama_model_n_layer(self._model) + 1,  # as llama.cpp counts: the output layer too
            "threads": self._n_threads,
            "n_ctx": self.n_ctx,
            "n_batch": self._serving.n_batch,
            "flash_attention": runtime.flash_attention + self._chosen_attention(),
            "sampling": SAMPLING["device" if self._serving.samples else "host"],
            "split": runtime.split,
            "system": (llama_cpp.llama_print_system_info() or b"").decode().strip(" |"),
        }

    def _vocabulary(self) -> Vocabulary:
        bos, eos = (self._special(of(self._vocab)) for of in (llama_cpp.llama_vocab_bos, llama_cpp.llama_vocab_eos))
        ids = {"bos_token": bos, "eos_token": eos}
        texts = {
            name: llama_cpp.llama_vocab_get_text(self._vocab, i).decode() for name, i in ids.items() if i is not None
        }
        start = () if bos is None or not llama_cpp.llama_vocab_get_add_bos(self._vocab) else (bos,)
        template = llama_cpp.llama_model_chat_template(self._model, None)
        return Vocabulary(
            n_tokens=llama_cpp.llama_vocab_n_tokens(self._vocab),
            framing=Framing(start, bos, eos, texts.get("bos_token", texts.get("eos_token"))),
            texts=texts,
            chat_template=template.decode() if template else None,
        )

    def _special(self, token: int) -> int | None:
        """Return a special token, None for -1 and for an ordinary one: llama.cpp's default where a GGUF states none."""
        return int(token) if token >= 0 and llama_cpp.llama_vocab_is_control(self._vocab, token) else None

    def _shape(self, n_ctx: int, n_batch: int, n_seq_max: int, n_outputs: int, serves: bool) -> ContextShape:
        runtime = self._runtime
        return ContextShape(
            n_ctx=n_ctx,
            n_batch=n_batch,
            n_seq_max=n_seq_max,
            n_outputs=n_outputs,
            n_threads=self._n_threads,
            flash_attention=FLASH_ATTENTION[runtime.flash_attention],
            kv_type=KV_TYPES[runtime.kv_type][0],
            on_gpu=self._on_gpu,
            samples=serves and self._on_gpu and runtime.sampling_cuda == "device",
        )

    def _chosen_attention(self) -> str:
        """Return in words what llama.cpp makes of `auto`, empty for another value: a small context's log tells."""
        if self._runtime.flash_attention != "auto":
            return ""
        context = Context(self._model, self._shape(LEAST_TOKENS, LEAST_TOKENS, 1, 1, serves=False))
        context.close()
        return f", {context.flash_attention}"

    def _contexts_of(self, shape: ContextShape, at_most: int = 1) -> Contexts:
        """Return contexts of this shape; those of another shape are freed first."""
        if self._contexts is None or self._contexts.shape != shape:
            if self._contexts is not None:
                self._contexts.close()
                self._contexts = None
            self._contexts = Contexts(self._model, shape, at_most)
        return self._contexts

    def tokenize(self, text: str, bos: bool) -> list[int]:
        return list(map(int, self._tokens(text, bos)))

    def tokenize_all(self, texts: Sequence[tuple[str, bool]]) -> list[NDArray[np.int32]]:
        with ThreadPoolExecutor(usable_cores()) as pool:  # llama.cpp leaves Python's lock while it tokenizes
            return list(pool.map(lambda asked: self._tokens(*asked), texts))

    def _tokens(self, text: str, bos: bool) -> NDArray[np.int32]:
        before, data = self.vocabulary.framing.before(text) if bos else (), text.encode()
        tokens = np.empty(len(before) + len(data) + 2, dtype=np.int32)
        tokens[: len(before)] = before
        place = ctypes.cast(tokens[len(before) :].ctypes.data, ctypes.POINTER(llama_cpp.llama_token))
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), place, len(data) + 2, False, True)
        if count < 0:
            raise RuntimeError(f"llama_tokenize needs {-count} tokens for {len(data)} bytes")
        return tokens[: len(before) + count].copy()

    def detokenize(self, tokens: Sequence[int]) -> str:
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        room = 0
        while True:
            text = ctypes.create_string_buffer(max(1, room))
            count = llama_cpp.llama_detokenize(self._vocab, array, len(tokens), text, room, True, False)
            if count >= 0:
                return text.raw[:count].decode(errors="replace")
            room = -count

    def ends(self, token: int) -> bool:
        ordinary = token == llama_cpp.llama_vocab_eos(self._vocab) and token != self.vocabulary.framing.end
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token)) and not ordinary

    def generate(self, tokens: Sequence[int], n_tokens: int) -> Iterator[int]:
        if len(tokens) + n_tokens > self.n_ctx:
            raise RuntimeError(f"a prompt of {len(tokens)} tokens and {n_tokens} more do not fit n_ctx={self.n_ctx}")
        if not len(tokens):
            raise RuntimeError("a prompt without tokens cannot be continued")
        context = self._contexts_of(self._serving).alone()
        token = context.start(tokens)
        n_prompt = len(tokens)
        self.last_prefill = Prefill(n_prompt, context.evaluated_tokens(n_prompt))
        for position in range(n_prompt, n_prompt + n_tokens):
            yield token
            if position + 1 < n_prompt + n_tokens:
                token = context.step(token, position)

    def prepare_decoding(self) -> None:
        """Do nothing: the configuration says who takes the top token."""

    def prepare_scoring(self) -> None:
        """Do nothing: a model that is open can score."""

    def start_scoring(self, longest: int) -> tuple[Limits, ScoringRoom]:
        """Make the cache just large enough: the longest path and one block. Halve the block where memory is short.

        A cache for scoring is on the same side of LongRoPE's limit as one for serving, else it is another model.
        """
        runtime = self._runtime
        if llama_cpp.llama_model_is_recurrent(self._model) or llama_cpp.llama_model_is_hybrid(self._model):
            raise RuntimeError(RECURRENT)
        tokens = runtime.score_tokens_cuda if self._on_gpu else runtime.score_tokens_cpu
        short = self._short_rope if self._short_rope and self.n_ctx <= self._short_rope else None
        least = self._short_rope + 1 if self._short_rope and not short else 0
        rows = max(1, LOGITS_BYTES // (4 * self.vocabulary.n_tokens))
        while True:
            n_ctx = -(-max(longest + tokens, least) // CELLS) * CELLS
            paths = min(PATHS, tokens - 1)  # llama.cpp aborts where sequences outnumber the tokens of a batch
            shape = self._shape(n_ctx, tokens, 1 + paths, min(tokens, max(rows, 1 + paths)), serves=False)
            try:
                if short and n_ctx > short:
                    raise MemoryError(f"LongRoPE's limit of {short:,} has no room for a block behind {longest:,}")
                is_made = self._contexts is not None and self._contexts.shape == shape
                if not is_made and not self._on_gpu and self._kv_bytes(n_ctx) > available_bytes():
                    raise MemoryError(f"a cache of {n_ctx:,} tokens takes more memory than there is")
                contexts = self._contexts_of(shape, SIDE_BY_SIDE if self._on_gpu else 1)
                break
            except MemoryError as error:
                if tokens <= LEAST_TOKENS:
                    raise RuntimeError(f"{error}: lower runtime.llamacpp.n_ctx") from None
                tokens //= 2
        chosen: ScoringRoom = {
            "n_ctx": self.n_ctx,
            "cache_tokens": n_ctx,
            "batch_tokens": tokens,
            "sequences": 1 + paths,
            "kv_type": runtime.kv_type,
            "kv_bytes": contexts.kv_bytes,
        }
        return Limits(tokens, paths, rows), chosen

    def _kv_bytes(self, n_ctx: int) -> int:
        model, (_, value_bytes) = self._model, KV_TYPES[self._runtime.kv_type]
        head = llama_cpp.llama_model_n_embd(model) // llama_cpp.llama_model_n_head(model)
        widths = [self._number(f"attention.{name}_length") or head for name in ("key", "value")]
        width = sum(widths) * llama_cpp.llama_model_n_head_kv(model)
        return int(n_ctx * llama_cpp.llama_model_n_layer(model) * width * value_bytes)

    def _number(self, key: str) -> int | None:
        """Return a whole number of the GGUF's metadata, by its key behind the architecture's name."""
        architecture = self._metadata("general.architecture")
        text = self._metadata(f"{architecture}.{key}")
        return None if text is None else int(text)

    def _metadata(self, key: str) -> str | None:
        text = ctypes.create_string_buffer(256)
        n_bytes = llama_cpp.llama_model_meta_val_str(self._model, key.encode(), text, len(text))
        return text.value.decode() if n_bytes >= 0 else None

    def check_sharing(self) -> None:
        """Do nothing: llama.cpp keeps its sequences apart in every model that it can score."""

    def evaluate(self, blocks: Iterable[Block]) -> Iterator[Read]:
        assert self._contexts is not None
        return self._contexts.evaluate(blocks, self._logits.read)

    def log_probabilities(self, block: Block) -> NDArray[np.float32]:
        assert self._contexts is not None
        return self._logits.log_probabilities(self._contexts.alone().evaluate(block))
