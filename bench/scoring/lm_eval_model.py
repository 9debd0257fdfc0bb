"""lm-eval's model interface over the scorer: requests are tokenized by lm-eval's own code and lose no row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from bench.runtimes.forest import Request
from bench.scoring.chat import Chat
from bench.scoring.scorer import Progress, Score, Scoring
from bench.scoring.tokenizer_parity import Ints, TokenizerComparison, TokenizerParity

if TYPE_CHECKING:
    from bench.scoring.lm_eval_process import RemoteScorer

Tokenized = tuple[object, Ints, Ints]
TOKENIZED_AT_ONCE = 256
"""Requests whose texts are tokenized in one call, and are in memory together."""


class SessionLM(TemplateLM):  # type: ignore[misc]
    """Answers lm-eval through a scorer.

    `truncated` counts the prompts cut on their left (not their choices); `scoring` is how the last ones were scored;
    `chat` writes prompts in the model's chat template. With the folder of the source model's tokenizer, `tokenizer`
    compares it with the artifact's own.
    """

    def __init__(self, scorer: RemoteScorer, progress: Progress, tokenizer_folder: Path | None) -> None:
        super().__init__()
        self.truncated = 0
        self.scoring: Scoring = {}
        self.scorer = scorer.version
        self.chat = Chat(scorer.vocabulary.chat_template, scorer.vocabulary.texts)
        self._scorer = scorer
        self._progress = progress
        self._known: dict[tuple[str, bool], Ints] = {}
        self._parity: TokenizerParity | None = None
        if tokenizer_folder is not None:
            self._parity = TokenizerParity(tokenizer_folder, scorer.vocabulary.framing)

    @property
    def tokenizer(self) -> TokenizerComparison | None:
        return self._parity.counted if self._parity else None

    @property
    def eot_token_id(self) -> int:
        eot = self._scorer.vocabulary.framing.end
        return self.prefix_token_id if eot is None else eot

    @property
    def prefix_token_id(self) -> int:
        return self._scorer.vocabulary.prefix_token_id

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> Ints:
        """Tokenize as lm-eval's own model does, but never with what a tokenizer appends (see `Framing`)."""
        asked = string, add_special_tokens is not False
        if asked not in self._known:
            self._known[asked] = self._tokenized([asked])[0]
        return self._known[asked]

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[Score]:
        encoded: list[Request] = []
        cut: set[tuple[object, object]] = set()
        self._stand_alone(not request.args[0] for request in requests)
        remaining = iter(requests)
        while part := list(islice(remaining, TOKENIZED_AT_ONCE)):
            self._prepare([request.args for request in part])
            for request, (_, context, continuation) in zip(part, super().loglikelihood(part, True), strict=True):
                encoded.append(self._fit(context, continuation))
                if len(encoded[-1].context) < len(context):
                    cut.add((request.task_name, request.doc_id))
            self._progress("tokenizing requests", len(encoded), len(requests))
        self._known.clear()
        self.truncated += len(cut)
        return self._score(encoded)

    def _loglikelihood_tokens(self, requests: Sequence[Tokenized], **_: object) -> Sequence[Tokenized]:
        """Return the tokens that lm-eval's own code made of texts: `loglikelihood` scores all of them at once."""
        return requests

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        windows: list[Request] = []
        owners: list[int] = []
        self._stand_alone(True for _ in requests)
        for i, request in enumerate(requests):
            for window in map(utils.make_disjoint_window, self._rolling(self.tok_encode(request.args[0]))):
                context, continuation = (np.array(part, dtype=np.int32) for part in window)
                windows.append(self._fit(context, continuation))
                owners.append(i)
        totals = [0.0] * len(requests)
        for owner, (log_likelihood, _) in zip(owners, self._score(windows), strict=True):
            totals[owner] += log_likelihood
        return totals

    def _rolling(self, tokens: Ints) -> Iterator[tuple[list[int], list[int]]]:
        windows: Iterator[tuple[list[int], list[int]]] = utils.get_rolling_token_windows(
            token_list=tokens.tolist(),
            prefix_token=self.prefix_token_id,
            max_seq_len=self._scorer.n_ctx,
            context_len=1,
        )
        return windows

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        texts = []
        self._known |= self._tokens_of(request.args[0] for request in requests)
        for i, request in enumerate(requests):
            context, options = request.args
            asked = normalize_gen_kwargs(options)
            if asked.get("do_sample") or asked.get("temperature"):
                raise RuntimeError(f"the task asks for sampling ({options}); only greedy generation is measured")
            room = self._scorer.n_ctx - asked["max_gen_toks"]
            if room < 1:
                raise RuntimeError(f"the task generates {asked['max_gen_toks']} tokens, n_ctx is {self._scorer.n_ctx}")
            tokens = self.tok_encode(context)
            self.truncated += len(tokens) > room
            until = [stop for stop in handle_stop_sequences(asked.get("until"), eos=self._eos()) if stop]
            made = self._scorer.complete(tokens[-room:].tolist(), asked["max_gen_toks"], until)
            texts.append(postprocess_generated_text(made, until, None))
            self._progress("generating answers", i + 1, len(requests))
        self._known.clear()
        self.scoring = {"requests": len(requests), "n_ctx": self._scorer.n_ctx}
        return texts

    def _eos(self) -> str | None:
        return self._scorer.vocabulary.texts.get("eos_token")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return self.chat.prompt(chat_history, add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        return self._scorer.vocabulary.chat_template if chat_template else None

    @property
    def tokenizer_name(self) -> str:
        return hashlib.sha256((self._scorer.vocabulary.chat_template or "").encode()).hexdigest()

    def _fit(self, context: Ints, continuation: Ints) -> Request:
        """Cut the context on its left where it does not fit, as lm-eval does."""
        if not len(context) or not len(continuation):
            raise RuntimeError("a question or an answer has no tokens to this model's tokenizer: it cannot be scored")
        overflow = len(context) + len(continuation) - (self._scorer.n_ctx + 1)
        if overflow >= len(context):
            raise RuntimeError(f"an answer of {len(continuation)} tokens alone does not fit n_ctx={self._scorer.n_ctx}")
        return Request(context[overflow:] if overflow > 0 else context, continuation.tolist())

    def _score(self, requests: Sequence[Request]) -> list[Score]:
        scores, self.scoring = self._scorer.score(requests)
        assert len(scores) == len(requests)
        return scores

    def _prepare(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Tokenize in one call what lm-eval is about to ask for text by text."""
        contexts = dict.fromkeys(context.rstrip() for context, _ in pairs if context)
        wholes = [context + continuation for context, continuation in pairs if context]
        self._known = self._tokens_of([*contexts, *wholes])

    def _tokens_of(self, texts: Iterable[str]) -> dict[tuple[str, bool], Ints]:
        asked = [(text, True) for text in dict.fromkeys(texts)]
        return dict(zip(asked, self._tokenized(asked), strict=True))

    def _tokenized(self, asked: Sequence[tuple[str, bool]]) -> list[Ints]:
        tokenized = self._scorer.tokenize(asked)
        if self._parity:
            self._parity.compare(asked, tokenized)
        return tokenized

    def _stand_alone(self, without_context: Iterable[bool]) -> None:
        if self._parity and any(without_context):
            self._parity.stand_alone()
