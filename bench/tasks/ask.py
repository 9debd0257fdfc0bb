"""Ask the questions of tasks through lm-eval, in its own process: `with_lm_eval(scorer, ask_in_own_process, …)`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.scoring.scorer import Progress
from bench.tasks import task_yaml
from bench.tasks.catalogue import label
from bench.tasks.columns import Answered, Columns, Doc, check_kinds, columns
from bench.tasks.load import Loaded, Task, TaskQuestions, chosen, load, subject_names
from bench.tasks.untrusted import templates
from variants.paths import resolve
from variants.tokenizer.without_torch import tokenizers_without_torch

if TYPE_CHECKING:
    from bench.scoring.lm_eval_model import SessionLM
    from bench.scoring.lm_eval_process import RemoteScorer


def ask_in_own_process(
    scorer: RemoteScorer, progress: Progress, questions: TaskQuestions, tokenizer_folder: Path | None
) -> dict[str, Columns]:
    """Do as `ask` does, seconds sooner: torch is left out where no code of a task may need it.

    That is for MMLU and for YAMLs that are not trusted; other tasks of lm-eval bring metrics that open models.
    """
    if not questions.trust_tasks and all(name == "mmlu" or task_yaml.find(name) for name in questions.tasks):
        tokenizers_without_torch()
    return ask(scorer, progress, questions, tokenizer_folder)


def ask(
    scorer: RemoteScorer, progress: Progress, questions: TaskQuestions, tokenizer_folder: Path | None
) -> dict[str, Columns]:
    """Run the tasks; return the columns of each under its label, and how they were asked and scored.

    The tokens of the texts are compared with those of the tokenizer in `tokenizer_folder`, where there is one.
    Raises RuntimeError, in one line, for data that is unavailable, a group that has no single score, and a model whose
    tokenizer or chat template does not fit.
    """
    from bench.scoring.lm_eval_model import SessionLM

    table: dict[str, Columns] = {}
    tasks = {name: _load(questions, name) for name in questions.tasks}
    for name, loaded in tasks.items():
        check_kinds(name, loaded.leaves)
    for name, loaded in tasks.items():
        model = SessionLM(scorer, progress, tokenizer_folder)
        template = _template_sha256(model) if questions.chat_template else None
        with templates(name, loaded.trusted):
            answers = _answers(model, loaded, questions)
        shots = sorted({task.config.num_fewshot for task in loaded.leaves.values()})
        table[label(name)] = {
            "version": loaded.version,
            "n": len(answers["question"]),
            "truncated": model.truncated,
            "num_fewshot": shots[0] if len(shots) == 1 else shots,
            "chat_template": template,
            "without_system": model.chat.without_system,
            "template_date": model.chat.date,
            "template_tokens": model.chat.tokens if template else None,
            "scorer": model.scorer,
            "scoring": model.scoring,
            "tokenizer": model.tokenizer,
            **answers,
        }
    return table


def _answers(model: SessionLM, loaded: Loaded, questions: TaskQuestions) -> Answered:
    from lm_eval.evaluator import evaluate

    for task in loaded.leaves.values():
        _check_choices(model, task)
    # Not `simple_evaluate`: it looks up the versions of the whole environment after every run.
    evaluated = evaluate(
        model,
        {"tasks": loaded.leaves},
        limit=questions.limit,
        samples=chosen(loaded.leaves, questions.limit_per_subject, questions.seed),
        bootstrap_iters=0,
        apply_chat_template=questions.chat_template,
        fewshot_as_multiturn=questions.chat_template,  # as lm-eval's own command line has it
    )
    return columns(evaluated["samples"], loaded.leaves, subject_names(loaded.leaves))


def task_texts(
    scorer: RemoteScorer,
    progress: Progress,
    tasks: Sequence[str],
    data_dir: str | None,
    seed: int,
    trust_tasks: bool = False,
) -> list[str]:
    """Return the texts of all questions, each with its right answer and without examples, in a fixed order."""
    folder = resolve(data_dir) if data_dir else None
    texts: list[str] = []
    for name in tasks:
        loaded = load(name, folder, None, seed, trust_tasks)
        with templates(name, loaded.trusted):
            texts += [_text(task, doc) for task in loaded.leaves.values() for doc in task.eval_docs]
    return texts


def _load(questions: TaskQuestions, name: str) -> Loaded:
    folder = resolve(questions.data_dir) if questions.data_dir else None
    return load(name, folder, questions.num_fewshot, questions.seed, questions.trust_tasks)


def _text(task: Task, doc: Doc) -> str:
    """Write a question and its right answer as lm-eval writes an example."""
    question, answer = task.doc_to_text(doc), task.doc_to_target(doc)
    choices = task.doc_to_choice(doc) if task.config.doc_to_choice else []
    if isinstance(question, int):  # the choices are contexts, and all end alike
        question = choices[question]
    if isinstance(answer, list):
        answer = answer[0]
    if isinstance(answer, int):
        answer = choices[answer] if choices else str(answer)
    return f"{question}{task.config.target_delimiter}{answer}" if question else str(answer)


def _check_choices(model: SessionLM, task: Task) -> None:
    """Raise RuntimeError where two choices of a task's first question are the same tokens to this model."""
    doc = next(iter(task.eval_docs))
    text = task.doc_to_text(doc) if task.OUTPUT_TYPE == "multiple_choice" else None
    if not isinstance(text, str):
        return
    seen: dict[tuple[int, ...], str] = {}
    for choice in dict.fromkeys(task.doc_to_choice(doc)):
        written = f"{task.config.target_delimiter}{choice}"
        encoded = model._encode_pair(text, written)[1] if text else model.tok_encode(written, add_special_tokens=False)
        tokens = tuple(map(int, encoded))
        if not tokens or tokens in seen:
            same = f"the same tokens as {seen[tokens]!r}" if tokens else "no tokens"
            raise RuntimeError(
                f"task {task.task_name}: to this model's tokenizer the choice {written!r} is {same} behind "
                f"{text[-10:]!r}; a model without these tokens cannot be asked this task"
            )
        seen[tokens] = written


def _template_sha256(model: SessionLM) -> str:
    template = model.chat_template(True)
    if not template:
        raise RuntimeError("accuracy.chat_template=true: this model's tokenizer has no chat template; set it to false")
    return hashlib.sha256(str(template).encode()).hexdigest()
