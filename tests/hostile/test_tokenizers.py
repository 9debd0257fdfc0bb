"""Tokenizers that append end-of-text, have none, or state in the GGUF another start than in the source."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.runtimes.llamacpp import LlamaCpp
from bench.runtimes.session import Session
from bench.runtimes.transformers import Transformers
from bench.scoring.lm_eval_model import SessionLM
from bench.tasks.columns import Doc
from tests.conftest import bare, make
from tests.scoring.conftest import LocalScorer
from variants.artifact import Artifact, File
from variants.data.rows import TaskRow
from variants.model_folder import copy_tokenizer
from variants.paths import ROOT
from variants.steps.lora import IGNORED, Example, Lora
from variants.tokenizer.framing import bare_tokens, framing_of

IDS = {"<unk>": 0, "<s>": 1, "</s>": 2}
FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
QUESTION = "Question: How many days of leave do I get?\nAnswer:"


def around(*tokens: str) -> dict[str, Any]:
    """A post-processor that puts special tokens around a text, "A"."""
    pieces = [{("Sequence" if t == "A" else "SpecialToken"): {"id": t, "type_id": 0}} for t in tokens]
    special = {t: {"id": t, "ids": [IDS[t]], "tokens": [t]} for t in tokens if t != "A"}
    pair = [{"Sequence": {"id": letter, "type_id": 0}} for letter in "AB"]
    return {"type": "TemplateProcessing", "single": pieces, "pair": pair, "special_tokens": special}


@dataclass(frozen=True)
class Kind:
    """A tokenizer: what its two files state, and what must go before a text and end an answer."""

    config: dict[str, Any]
    processor: dict[str, Any] | None
    start: tuple[int, ...]
    end: int | None
    without: tuple[str, ...] = ()


KINDS = {
    "embedded": Kind({}, None, (1,), 2),
    "appends": Kind({}, around("<s>", "A", "</s>"), (1,), 2),
    "appends twice": Kind(FAST, around("<s>", "A", "</s>", "</s>"), (1,), 2),
    "two start tokens": Kind(FAST, around("<unk>", "<s>", "A"), (0, 1), 2),
    "appends and starts with nothing": Kind(FAST, around("A", "</s>"), (), 2),
    "the files disagree": Kind(
        {**FAST, "add_bos_token": False, "add_eos_token": False}, around("<s>", "A", "</s>"), (1,), 2
    ),
    "no end": Kind(FAST, None, (1,), None, ("eos_token",)),
    "no beginning": Kind(FAST, around("A"), (), 2, ("bos_token",)),
    "neither": Kind(FAST, around("A"), (), None, ("bos_token", "eos_token")),
}


def folder_of(kind: Kind, folder: Path) -> Path:
    """Write a tokenizer of this kind, made of the embedded model's."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(ROOT / "variants/reference", folder)
    config = {**json.loads((folder / "tokenizer_config.json").read_text()), **kind.config}
    stated = {key: value for key, value in config.items() if key not in kind.without}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    if kind.processor:
        content = json.loads((folder / "tokenizer.json").read_text())
        (folder / "tokenizer.json").write_text(json.dumps({**content, "post_processor": kind.processor}))
    return folder


def tokenizer_of(kind: Kind, folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder_of(kind, folder))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def lora(folder: Path, prompt: str = "Question: {question}\nAnswer:", question: str = "How many days?") -> Lora:
    row = {"subject": "s", "question": question, "choices": ["25 days", "x"], "answer": 0}
    (folder / "data.jsonl").write_text(json.dumps(row) + "\n")
    return Lora(
        str(folder / "data.jsonl"), None, 0.0, prompt, 4, 8, 0.0, "all-linear", 0.02, "constant", 0.0, 0.0, 1, 1, 64, 7
    )


def trained(example: Example) -> list[int]:
    return [token for token, label in zip(*example.values(), strict=True) if label != IGNORED]


def test_a_text_follows_what_its_tokenizer_puts_before_it_and_nothing_follows(kind: Kind, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(kind, tmp_path)
    framing = framing_of(tokenizer)
    assert (framing.start, framing.end) == (kind.start, kind.end)
    bare = bare_tokens(tokenizer, QUESTION)
    assert framing.framed(QUESTION, bare) == [*kind.start, *bare]
    assert framing.ended(bare) == [*bare, *([kind.end] if kind.end is not None else [])]


def test_a_tokenizer_whose_start_cannot_be_told_is_refused(tmp_path: Path) -> None:
    class Otherwise:
        """Reads a text as other tokens behind its special tokens."""

        bos_token_id, eos_token_id, bos_token, eos_token = 1, 2, "<s>", "</s>"

        def __call__(self, text: str, add_special_tokens: bool = True) -> Any:
            return SimpleNamespace(input_ids=[1, 7, 8] if add_special_tokens else [9])

    with pytest.raises(RuntimeError, match=r"tokens \[1, 7, 8\], and as \[9\] without special tokens"):
        framing_of(Otherwise())  # type: ignore[arg-type]


def test_training_sees_the_whole_answer_behind_a_context_that_does_not_end(kind: Kind, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(kind, tmp_path)
    (example,) = lora(tmp_path).examples(tokenizer)
    end = [] if kind.end is None else [kind.end]
    whole = bare_tokens(tokenizer, "Question: How many days?\nAnswer: 25 days")
    assert example["input_ids"] == [*kind.start, *whole, *end]
    assert tokenizer.decode(trained(example)).removesuffix("</s>").strip() == "25 days"
    assert example["input_ids"].count(2) == len(end)


def test_braces_of_a_prompt_and_of_a_question_are_text(tmp_path: Path) -> None:
    prompt, question = 'JSON {"q": {question}} {} {0} {answer} {{:', "what is {question} in {braces}?"
    filled = f'JSON {{"q": {question}}} {{}} {{0}} {{answer}} {{{{:'
    assert TaskRow("", question, ("25 days", "3 days"), 0).asked(prompt) == filled
    tokenizer = tokenizer_of(KINDS["embedded"], tmp_path)
    (example,) = lora(tmp_path, prompt, question).examples(tokenizer)
    assert example["input_ids"] == [1, *bare_tokens(tokenizer, f"{filled} 25 days"), 2]


@pytest.fixture(scope="module")
def gguf(cache: Path, catalogue: dict[str, dict[str, Any]]) -> Artifact:
    """The tiny model in F32, converted."""
    return make(cache, {**catalogue, "gguf": {**catalogue["gguf"], "type": "f32"}}, ["source", "gguf"])


def rewritten(gguf: Artifact, folder: Path, changes: dict[str, Any], without: Sequence[str] = ()) -> Artifact:
    """Write the GGUF again with other metadata of its tokenizer."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    reader, writer = GGUFReader(gguf.gguf()), GGUFWriter(folder / "model.gguf", "llama")
    changed = {f"tokenizer.ggml.{name}": value for name, value in changes.items()}
    left_out = {f"tokenizer.ggml.{name}" for name in without} | {"general.architecture"}
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name not in left_out | changed.keys():
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    for name, value in changed.items():
        types = {bool: GGUFValueType.BOOL, int: GGUFValueType.UINT32, str: GGUFValueType.STRING}
        inner = GGUFValueType.STRING if isinstance(value, list) else None
        writer.add_key_value(name, value, types.get(type(value), GGUFValueType.ARRAY), inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return replace(gguf, path=folder, files=(File("model.gguf", 0, ""),))


def llama(artifact: Artifact) -> Session:
    return LlamaCpp(160, 64, 96, 96, 2, "off", "f32", "host", "none").open(artifact, "cpu")


def torch(folder: Path) -> Session:
    return Transformers(160, 96, 96, "float32", "bfloat16", 2, "none").open(bare(folder, "hf"), "cpu")


def model(session: Session, gguf: Artifact, kept: Path, source: Path | None) -> SessionLM:
    scorer = LocalScorer(session, gguf, lambda *_: None)
    scorer._kept = kept / "kept"
    return SessionLM(scorer, lambda *_: None, source)  # type: ignore[arg-type]


def instances(kind: Any, arguments: Iterable[Any]) -> list[Any]:
    from lm_eval.api.instance import Instance

    doc: Doc = {}
    return [Instance(kind, doc, args, 0, ("toy", i, 1)) for i, args in enumerate(arguments)]


ASKED: dict[str, list[Any]] = {
    "loglikelihood": [(QUESTION, " 25 days"), (QUESTION, " 3"), ("It says </s> and <s> here:", " yes")],
    "loglikelihood_rolling": [("How many days of leave do I get?",), ("a </s> b",)],
    "generate_until": [(QUESTION, {"until": ["\n"], "max_gen_toks": 6})],
}


def test_scores_and_texts_are_lm_evals_own_as_if_nothing_were_appended(
    tiny_model: Path, gguf: Artifact, tmp_path: Path
) -> None:
    from lm_eval.models.huggingface import HFLM

    source = shutil.copytree(tiny_model, tmp_path / "appends")
    folder_of(KINDS["appends"], source)
    judge = HFLM(pretrained=str(tiny_model), dtype="float32", batch_size=1, device="cpu", max_length=160)
    (tmp_path / "gguf").mkdir()
    sessions = torch(source), llama(rewritten(gguf, tmp_path / "gguf", {"add_eos_token": True}))
    for session in sessions:
        ours = model(session, gguf, tmp_path / session.facts["runtime"], source)
        for name, arguments in ASKED.items():
            if session.facts["runtime"] == "llamacpp":  # it puts a space behind a special token
                arguments = [one for one in arguments if "</s>" not in one[0]]
            theirs = getattr(judge, name)(instances(name, arguments), disable_tqdm=True)
            mine = getattr(ours, name)(instances(name, arguments))
            flat = [one[0] if isinstance(one, tuple) else one for one in theirs]
            assert [one[0] if isinstance(one, tuple) else one for one in mine] == (
                flat if isinstance(flat[0], str) else pytest.approx(flat, abs=1e-3)
            )
        assert ours.tokenizer
        assert not ours.tokenizer["different"]


@pytest.mark.parametrize("name", ASKED)
def test_a_gguf_that_starts_texts_otherwise_than_its_source_is_named_for_every_kind_of_task(
    gguf: Artifact, tmp_path: Path, name: str
) -> None:
    assert gguf.parent is not None
    session = llama(rewritten(gguf, tmp_path, {"add_bos_token": False, "bos_token_id": 2}))
    lm = model(session, gguf, tmp_path, gguf.parent.path)
    getattr(lm, name)(instances(name, ASKED[name]))
    counted = lm.tokenizer
    assert counted
    assert counted["different"] == counted["compared"] > 0
    assert counted["starts"] == {"gguf": [], "hf": [1]}
    assert counted.get("alone") == ({"gguf": [2], "hf": [1]} if name == "loglikelihood_rolling" else None)


def test_an_ordinary_token_is_no_beginning_and_no_end_of_text(gguf: Artifact, tmp_path: Path) -> None:
    """llama.cpp takes token 11 for both where a BPE tokenizer states neither."""
    changes = {"model": "gpt2", "pre": "gpt-2", "merges": ["h i"]}
    unstated = ("model", "bos_token_id", "eos_token_id", "add_bos_token", "scores")
    session = llama(rewritten(gguf, tmp_path, changes, unstated))
    framing = session.vocabulary.framing
    assert (framing.start, framing.bos, framing.end) == ((), None, None)
    assert not session.ends(11)
    with pytest.raises(RuntimeError, match=r"no beginning-of-text and no end-of-text.*leave divergence out"):
        _ = session.vocabulary.prefix_token_id


@pytest.mark.parametrize("text", ["</s>", "a </s>", "is it <s> or <unk>?", "<|im_end|> is text here", "<s>", ""])
def test_special_tokens_in_a_text_are_those_of_lm_evals_own_model(text: str, gguf: Artifact, tmp_path: Path) -> None:
    assert gguf.parent is not None
    tokenizer = tokenizer_of(KINDS["embedded"], tmp_path)
    theirs = tokenizer.encode(text, add_special_tokens=not text.startswith("<s>"))
    assert framing_of(tokenizer).framed(text, bare_tokens(tokenizer, text)) == theirs
    specials = [token for token in theirs if token in IDS.values()]
    for session in (llama(gguf), torch(gguf.parent.path)):
        assert [token for token in session.tokenize(text, bos=True) if token in IDS.values()] == specials


def test_a_written_beginning_of_text_is_not_doubled_in_training_and_serving(gguf: Artifact, tmp_path: Path) -> None:
    prompt = "<s>Question: {question}\nAnswer:"
    (example,) = lora(tmp_path, prompt).examples(tokenizer_of(KINDS["embedded"], tmp_path))
    assert example["input_ids"].count(1) == 1
    assert llama(gguf).tokenize(prompt, bos=True).count(1) == 1
