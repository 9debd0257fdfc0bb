"""lm-eval's model interface over the scorer: requests are tokenized by lm-eval's own code and lose no row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from jinja2 import TemplateError
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from numpy.typing import NDArray

from bench.runtimes.forest import Request
from bench.scoring.scorer import Progress, Score, Scoring

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from bench.scoring.lm_eval_process import RemoteScorer

Ints = NDArray[np.int32]
Tokenized = tuple[object, Ints, Ints]
TOKENIZED_AT_ONCE = 256
"""Requests whose texts are tokenized in one call, and are in memory together."""
SHOWN_TOKENS = 12
"""Tokens of a difference between two tokenizers that the record shows."""


class Example(TypedDict):
    """A text that two tokenizers cut differently: its end, and the tokens around the first difference."""

    text: str
    from_token: int
    gguf: list[int]
    hf: list[int]


class TokenizerComparison(TypedDict):
    """On how many texts the artifact's tokenizer differs from its source's: a record's `tokenizer`."""

    compared: int
    different: int
    example: Example | None


class SessionLM(TemplateLM):  # type: ignore[misc]
    """Answers lm-eval through a scorer.

    `truncated` counts the prompts cut on their left (not their choices); `scoring` is how the last ones were scored;
    `without_system` is true where the chat template refused a system message, which the prompts therefore lack.
    With the folder of the source model's tokenizer, `tokenizer` compares it with the artifact's own.
    """

    def __init__(self, scorer: RemoteScorer, progress: Progress, tokenizer_folder: Path | None) -> None:
        super().__init__()
        self.truncated = 0
        self.without_system = False
        self.scoring: Scoring = {}
        self.scorer = scorer.version
        self.tokenizer: TokenizerComparison | None = None
        self._scorer = scorer
        self._progress = progress
        self._known: dict[tuple[str, bool], Ints] = {}
        self._compared: set[int] = set()
        self._source: PreTrainedTokenizerBase | None = None
        if tokenizer_folder is not None:
            from transformers import AutoTokenizer

            self.tokenizer = {"compared": 0, "different": 0, "example": None}
            self._source = AutoTokenizer.from_pretrained(tokenizer_folder)

    @property
    def eot_token_id(self) -> int:
        eot = self._scorer.vocabulary.eot_token_id
        return self.prefix_token_id if eot is None else eot

    @property
    def prefix_token_id(self) -> int:
        return self._scorer.vocabulary.prefix_token_id

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> Ints:
        """Tokenize as lm-eval's own model does."""
        asked = self._asked(string) if add_special_tokens is None else (string, add_special_tokens)
        if asked not in self._known:
            self._known[asked] = self._tokenized([asked])[0]
        return self._known[asked]

    def _asked(self, text: str) -> tuple[str, bool]:
        """Return a text and whether the beginning-of-text token goes before it: one that has it gets no second."""
        bos = self._scorer.vocabulary.texts.get("bos_token")
        return text, bos is None or not text.startswith(bos)

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[Score]:
        encoded: list[Request] = []
        cut: set[tuple[object, object]] = set()
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
        from transformers.utils.chat_template_utils import render_jinja_template

        template = self._scorer.vocabulary.chat_template
        if template is None:
            raise RuntimeError("accuracy.chat_template: this model has no chat template; set it to false")
        special: dict[str, Any] = dict(self._scorer.vocabulary.texts)

        def render(messages: list[dict[str, str]]) -> str:
            rendered = render_jinja_template(
                conversations=[messages],
                chat_template=template,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
                **special,
            )
            return str(rendered[0][0])

        try:
            return render(chat_history)
        except TemplateError:  # as lm-eval's own model does for templates that know no system message
            without_system = [message for message in chat_history if message["role"] != "system"]
            if without_system == chat_history:
                raise
            self.without_system = True
            return render(without_system)

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
        asked = [self._asked(text) for text in dict.fromkeys(texts)]
        return dict(zip(asked, self._tokenized(asked), strict=True))

    def _tokenized(self, asked: Sequence[tuple[str, bool]]) -> list[Ints]:
        tokenized = self._scorer.tokenize(asked)
        if self._source is not None and self.tokenizer is not None:
            for bos in (True, False):
                texts = [(text, tokens) for (text, b), tokens in zip(asked, tokenized, strict=True) if b == bos]
                self._compare(texts, bos, self._source, self.tokenizer)
        return tokenized

    def _compare(
        self,
        texts: Sequence[tuple[str, Ints]],
        bos: bool,
        source: PreTrainedTokenizerBase,
        counted: TokenizerComparison,
    ) -> None:
        """Count the texts that the source's tokenizer cuts differently, or starts or ends with other tokens."""
        new = {hash(text): (text, tokens) for text, tokens in texts if hash(text) not in self._compared}
        self._compared |= new.keys()
        theirs = source([text for text, _ in new.values()], add_special_tokens=bos).input_ids if new else []
        for (text, ours), other in zip(new.values(), theirs, strict=True):
            own = ours.tolist()
            counted["compared"] += 1
            if own != other:
                counted["different"] += 1
                counted["example"] = counted["example"] or example(text, own, other)


def example(text: str, own: Sequence[int], other: Sequence[int]) -> Example:
    """Return the tokens around the first difference of two tokenizations, and the end of the text."""
    first = next((i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), min(len(own), len(other)))
    start = max(0, first - 2)
    shown = slice(start, start + SHOWN_TOKENS)
    return {"text": text[-200:], "from_token": start, "gguf": list(own[shown]), "hf": list(other[shown])}
