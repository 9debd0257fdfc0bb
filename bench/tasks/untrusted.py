"""What a task YAML by path may hold: it comes from anywhere, so nothing in it is run.

Its templates are rendered in a sandbox, it names no function of Python, and its data is read as text or from the hub,
whose data sets hold no code (datasets 4 and later run none). `accuracy.trust_tasks=true` lifts all of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2.exceptions import SecurityError, TemplateError

from bench.tasks.task_yaml import FORMATS, Config, Function, data_files, folder_files, read
from variants.configure import nearest
from variants.errors import UserError

if TYPE_CHECKING:
    from jinja2 import Environment

TRUST = "accuracy.trust_tasks=true"
KEYS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("task", "task_alias", "dataset_path", "dataset_name", "output_type"), (str,)),
    **dict.fromkeys(("training_split", "validation_split", "test_split", "fewshot_split"), (str,)),
    **dict.fromkeys(("description", "target_delimiter", "fewshot_delimiter", "gen_prefix"), (str,)),
    **dict.fromkeys(("dataset_kwargs", "fewshot_config", "generation_kwargs", "metadata"), (dict,)),
    **dict.fromkeys(("metric_list", "filter_list"), (list,)),
    **dict.fromkeys(("num_fewshot", "repeats"), (int,)),
    "tag": (str, list),
    "doc_to_text": (str, int),
    "doc_to_target": (str, int, list),
    "doc_to_choice": (str, list, dict),
    "should_decontaminate": (bool,),
    "doc_to_decontamination_query": (str,),
}
"""The keys of a task that cannot run anything, and what each may be; null is always allowed."""
CODE = ("class", "custom_dataset", "process_docs", "process_results", "unsafe_code", "use_prompt", "doc_to_image",
        "doc_to_audio", "group", "task_list")  # fmt: skip
"""The keys of lm-eval's tasks that name code, or other tasks, which may."""
SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
OUTPUTS = ("multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until")
FEWSHOT = ("sampler", "split", "samples", "fewshot_indices", "doc_to_text", "doc_to_choice", "doc_to_target")
DELIMITERS = ("gen_prefix", "fewshot_delimiter", "target_delimiter")
WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "keys with values"}
TEMPLATES = 256
"""Compiled templates that are kept: a task has a few."""
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def check(path: Path) -> None:
    """Raise UserError, naming file and key, where a task YAML would run code, or is none that lm-eval can load."""
    config = read(path)
    for key, function in _functions(config, ""):
        raise UserError(
            f"{path}: {key} is the function {function} of a Python file, which is run only with {TRUST}; "
            "read that file first"
        )
    for key, value in config.items():
        if key in CODE:
            if value:  # null, false or nothing asks for none
                raise UserError(f"{path}: {key} lets a task run code, which it may only with {TRUST}; leave it out")
            continue
        if key not in KEYS:
            raise UserError(f"{path}: {key} is no key of a task; {nearest(key, KEYS)}")
        _check_type(path, key, value, KEYS[key])
    _check_data(path, config)
    _check_lists(path, config)


def _functions(value: object, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Function):
        yield key, value
    elif isinstance(value, dict | list):
        for name, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _functions(inside, f"{key}.{name}" if key else str(name))


def _check_type(path: Path, key: str, value: object, allowed: tuple[type, ...]) -> None:
    if value is not None and type(value) not in allowed:
        kinds = " or ".join(WORDS[kind] for kind in allowed)
        quotes = "; put it in quotes" if str in allowed and not isinstance(value, list | dict) else ""
        raise UserError(f"{path}: {key} is {value!r}, allowed: {kinds}{quotes}")


def _check_data(path: Path, config: Config) -> None:
    """Raise UserError for data that is read otherwise than as files of text, from a folder of them, or from the hub."""
    name, options = config.get("dataset_path"), config.get("dataset_kwargs") or {}
    folder = folder_files(path)
    if name not in FORMATS and folder is None and not HUB_NAME.fullmatch(str(name)):
        raise UserError(
            f"{path}: dataset_path is {name!r}, allowed: {', '.join(FORMATS)}, a folder, or OWNER/NAME of the hub"
        )
    for code in (file for file in folder or () if file.suffix == ".py"):
        raise UserError(
            f"{path}: dataset_path is a folder with code in it, {code.name}; allowed: a folder of data files"
        )
    for key in options.keys() - {"data_files", "revision"}:
        raise UserError(f"{path}: dataset_kwargs.{key} is not allowed here, only data_files and revision")
    if name in FORMATS and not options.get("data_files"):
        raise UserError(f"{path}: dataset_kwargs.data_files is missing; name the file of each split there")
    splits = {key: config[key] for key in SPLITS if config.get(key) is not None}
    if not splits.keys() & {"test_split", "validation_split"}:
        raise UserError(f"{path}: test_split is missing; it names the split of the data whose questions are asked")
    for key, split in splits.items():
        if name in FORMATS and split not in data_files(path):
            raise UserError(f"{path}: {key} is {split!r}, but data_files has {', '.join(data_files(path))}")


def _check_lists(path: Path, config: Config) -> None:
    """Raise UserError where what lies inside the keys is of another shape than lm-eval's."""
    if config.get("output_type", OUTPUTS[-1]) not in OUTPUTS:
        raise UserError(f"{path}: output_type is {config['output_type']!r}, allowed: {', '.join(OUTPUTS)}")
    if config.get("doc_to_text") is None:
        raise UserError(f"{path}: doc_to_text is missing; it is a question as text, with its columns as {{{{NAME}}}}")
    choices = config.get("doc_to_choice")
    for choice in choices.values() if isinstance(choices, dict) else choices if isinstance(choices, list) else ():
        _check_type(path, "doc_to_choice: a choice", choice, (str,))
    for key in (config.get("fewshot_config") or {}).keys() - {*FEWSHOT, *DELIMITERS}:
        raise UserError(f"{path}: fewshot_config.{key} is no key of it; {nearest(str(key), [*FEWSHOT, *DELIMITERS])}")
    for metric in config.get("metric_list") or ():
        if not isinstance(metric, dict) or not isinstance(metric.get("metric"), str):
            raise UserError(
                f"{path}: metric_list holds {metric!r}, allowed: keys with values, metric: a name of lm-eval"
            )
        if "hf_evaluate" in metric:
            raise UserError(f"{path}: metric_list.hf_evaluate fetches code and runs it, which needs {TRUST}")
    for chain in config.get("filter_list") or ():
        steps = chain.get("filter") if isinstance(chain, dict) else None
        if not isinstance(steps, list) or not all(isinstance(step, dict) and "function" in step for step in steps):
            raise UserError(
                f"{path}: filter_list holds {chain!r}, allowed: name, and filter: a list with function: a name"
            )


def check_registered(path: Path, config: Config) -> None:
    """Raise UserError for a metric, an aggregation or a filter that lm-eval does not ship: it would look on the hub.

    For the process that runs lm-eval only.
    """
    import lm_eval.api.metrics
    import lm_eval.filters  # noqa: F401  # both register what they hold
    from lm_eval.api.registry import aggregation_registry, filter_registry, metric_registry

    metrics = config.get("metric_list") or ()
    steps = [step for chain in config.get("filter_list") or () for step in chain["filter"]]
    named = {
        "metric": ([metric["metric"] for metric in metrics], metric_registry),
        "aggregation": ([metric["aggregation"] for metric in metrics if "aggregation" in metric], aggregation_registry),
        "filter": ([step["function"] for step in steps], filter_registry),
    }
    for kind, (names, registry) in named.items():
        for name in names:
            if not isinstance(name, str) or name not in registry:
                hint = nearest(str(name), registry.keys())
                raise UserError(f"{path}: {name!r} is no {kind} of lm-eval; {hint}")


def sandbox() -> Environment:
    """Return what renders templates as lm-eval does, and lets them reach nothing but the question."""
    from jinja2 import BaseLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["regex_replace"] = _regex_replace
    return environment


def _regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:
    if not isinstance(repl, str):  # re calls what is no text, outside the sandbox
        raise TypeError("regex_replace: what replaces must be text")
    return re.sub(pattern, repl, string, count=count)


@cache
def _own_environment() -> Environment:
    """Return lm-eval's own environment for templates, and put the sandbox in its place: what forgets to ask gets it."""
    from lm_eval import utils

    own: Environment = utils.env
    utils.env = sandbox()
    return own


@contextmanager
def templates(task: str, trusted: bool) -> Iterator[None]:
    """Render the templates of a task with lm-eval's own environment where it is trusted, else in the sandbox.

    Each is compiled once: lm-eval would compile it anew for every question and every example before it, which takes
    most of the time of building requests. Raises UserError for one that fails. For the process that runs lm-eval only.
    """
    from unittest.mock import patch

    from lm_eval import utils

    own = _own_environment()
    environment: Environment = own if trusted else utils.env
    compiled = lru_cache(TEMPLATES)(environment.from_string)
    try:
        with patch.object(utils, "env", environment), patch.object(environment, "from_string", compiled):
            yield
    except MemoryError:
        raise UserError(f"{task}: a template takes more memory than half of what is free") from None
    except TemplateError as error:
        hint = f"; {TRUST} lifts the sandbox" if isinstance(error, SecurityError) else ""
        raise UserError(f"{task}: a template fails: {str(error).rstrip('.')}{hint}") from None
