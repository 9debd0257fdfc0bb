"""Task YAMLs that would run code, and those that are none: nothing of them is run, and each mistake is one line."""

from __future__ import annotations

import io
import json
import os
import subprocess
from contextlib import redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from bench.records.selection import Wanted
from bench.report import render
from bench.selftest import records
from bench.tasks import catalogue, fetch
from bench.tasks.load import check_questions, load
from bench.tasks.untrusted import CODE
from tests.report.conftest import findings_of, text_of
from tests.sweep.conftest import Run, refused  # noqa: F401  # a fixture
from tests.tasks.conftest import GENERATED, Toy, asked_of, asking, choice_task, task
from variants.cache import Cache
from variants.errors import UserError

STOLEN = "os.system('touch stolen')"

ANCHORS = b"a: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 9)) for letter in b"bcdefghijklm"
)
PIPED = b"""task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: pipe}}
test_split: test
doc_to_text: question
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of rows that is also where the process is: code that ran would leave a file `stolen` in it."""
    rows = [
        {"subject": "sums", "question": "1 + 1 =", "choices": ["2", "3"], "answer": 0},
        {"subject": "sums", "question": "2 + 2 =", "choices": ["3", "4"], "answer": 1},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "evil.py").write_text("open('stolen', 'w').close()\ndef run(*_):\n    return []\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(path: str, trust_tasks: bool = False) -> str:
    """Plan, load and check a task as a run does before anything is built; return the one line that refuses it."""

    def plan() -> None:
        catalogue.check([path], None, None, trust_tasks)
        check_questions(Path(path), load(path, None, None, 0, trust_tasks))

    with pytest.raises(UserError) as error:
        plan()
    assert "\n" not in str(error.value)
    assert not Path("stolen").exists()
    return str(error.value)


@pytest.mark.parametrize("key", ["doc_to_text", "doc_to_choice", "doc_to_target", "description", "gen_prefix"])
@pytest.mark.parametrize(
    "template",
    [
        "{{ cycler.__init__.__globals__." + STOLEN + " }}",
        "{{ lipsum.__globals__['os'].system('touch stolen') }}",
        "{{ self.__init__.__globals__.__builtins__.__import__('os').system('touch stolen') }}",
        "{{ question|attr('__class__') }}",
        "{{ '{0.__class__.__init__.__globals__}'.format(question) }}",
        "{% set run = '{0.__class__}'.format %}{{ run(question) }}",
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{% for f in [joiner.__call__.__func__] %}{{ f.__globals__ }}{% endfor %}",
        "{{ choices.append('another') }}",
    ],
)
def test_a_template_reaches_nothing_but_the_question(folder: Path, key: str, template: str) -> None:
    line = complaint(choice_task(folder, **{key: template}))
    assert "a template fails: " in line
    assert line.endswith("accuracy.trust_tasks=true lifts the sandbox")


def test_what_replaces_in_a_template_is_text_and_never_called(folder: Path) -> None:
    path = choice_task(folder, doc_to_text="{{ question|regex_replace('1', cycler) }}")
    with pytest.raises(TypeError, match="must be text"):
        load(path, None, None, 0)
    path = choice_task(folder, doc_to_text="{{ question|regex_replace('[0-9]', 'n') }}")
    toy = Toy()
    asked_of(toy, asking(path))
    assert "".join(map(chr, toy.asked[0].context)) == "n + n ="


@pytest.mark.parametrize(
    "place", ["process_docs", "doc_to_text", "metric_list:\n- metric", "fewshot_config:\n  samples"]
)
@pytest.mark.parametrize("included", [False, True])
def test_a_function_is_refused_wherever_it_stands(folder: Path, place: str, included: bool) -> None:
    path = Path(choice_task(folder))
    config = {key: value for key, value in json.loads(path.read_text()).items() if key != place.partition(":")[0]}
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in config.items()))
    function = f"{place}: !function evil.run\n"
    if included:
        (folder / "common.yaml").write_text(function)
        function = "include: common.yaml\n"
    path.write_text(f"{path.read_text()}\n{function}")
    assert "is the function evil.run of a Python file, which is run only with accuracy.trust_tasks=true" in complaint(
        str(path)
    )


@pytest.mark.parametrize(
    ("config", "named"),
    [
        *(({key: "evil.run"}, f"{key} lets a task run code") for key in CODE),
        ({"dataset_path": "pandas"}, "dataset_path is 'pandas', allowed: json, csv, parquet"),
        ({"dataset_path": "evil.py"}, "dataset_path is 'evil.py', allowed: json"),
        ({"dataset_path": "./evil.py"}, "dataset_path is './evil.py', allowed: json"),
        ({"dataset_path": ".", "dataset_kwargs": {}}, "a folder with code in it, evil.py"),
        ({"dataset_path": "sql", "dataset_kwargs": {"con": "sqlite://", "sql": "x"}}, "dataset_path is 'sql'"),
        (
            {"dataset_kwargs": {"data_files": "rows.jsonl", "trust_remote_code": True}},
            "dataset_kwargs.trust_remote_code",
        ),
        ({"metric_list": [{"metric": "./evil.py"}]}, "'./evil.py' is no metric of lm-eval"),
        ({"metric_list": [{"metric": "code_eval", "hf_evaluate": True}]}, "hf_evaluate fetches code and runs it"),
        ({"metric_list": [{"metric": "acc", "aggregation": "evil.run"}]}, "'evil.run' is no aggregation of lm-eval"),
        ({"filter_list": [{"name": "a", "filter": [{"function": "evil.run"}]}]}, "'evil.run' is no filter of lm-eval"),
        ({"doc_to_tex": "{{question}}"}, "doc_to_tex is no key of a task; did you mean doc_to_text"),
        ({"doc_to_choice": [True, False]}, "doc_to_choice: a choice is True, allowed: text; put it in quotes"),
        ({"test_split": "tset"}, "test_split is 'tset', but data_files has test"),
        ({"output_type": "multiple"}, "output_type is 'multiple', allowed: multiple_choice"),
        ({"num_fewshot": "2"}, "num_fewshot is '2', allowed: a whole number"),
        ({"doc_to_text": "{{ questoin }}"}, "a template fails: 'questoin' is undefined"),
        ({"doc_to_text": "{{ question"}, "a template fails: unexpected end of template"),
        ({"doc_to_text": "{% include '/etc/passwd' %}"}, "a template fails: /etc/passwd"),
    ],
)
def test_what_would_run_code_or_is_no_task_is_refused_by_its_key(
    folder: Path, config: dict[str, Any], named: str
) -> None:
    assert named in complaint(choice_task(folder, **config))


def test_a_key_that_names_no_code_though_it_could_is_no_hindrance(folder: Path) -> None:
    path = choice_task(folder, process_docs=None, use_prompt=None, unsafe_code=False)
    catalogue.check([path], None, None)
    assert [len(task.eval_docs) for task in load(path, None, None, 0).leaves.values()] == [2]


def test_a_trusted_task_may_run_code_and_the_report_says_so(folder: Path, tmp_path: Path) -> None:
    (folder / "more.py").write_text("def shout(doc):\n    return doc['question'].upper() + '!'\n")
    path = Path(choice_task(folder))
    text = path.read_text().replace('"{{question}}"', '"{{question}}", "description": "{{ cycler.__name__ }} "')
    path.write_text(f'{text[:-1]}, "doc_to_decontamination_query": !function more.shout }}')
    assert "trust_tasks=true" in complaint(str(path))
    toy = Toy()
    columns = asked_of(toy, asking(str(path), trust_tasks=True))["mine"]
    assert columns["n"] == 2
    assert "".join(map(chr, toy.asked[0].context)) == "Cycler 1 + 1 ="
    content = records.record("base")
    assert not any(finding.title == "Trusted tasks" for finding in written(tmp_path / "results", content))
    content["config"]["measures"]["accuracy"] = {"trust_tasks": True}
    (noted,) = [each for each in written(tmp_path / "results", content) if each.title == "Trusted tasks"]
    assert "accuracy.trust_tasks=true: task YAMLs by path were allowed to run code" in noted.text


@pytest.mark.parametrize("n_questions", [1, 2, 3])
def test_a_sweep_of_a_handful_of_questions_is_reported_and_compared(tmp_path: Path, n_questions: int) -> None:
    for name in ("base", "q4"):
        content = records.record(name)
        for answers in content["measures"]["accuracy"].values():
            answers |= {"n": n_questions} | {
                key: value[:n_questions] for key, value in answers.items() if isinstance(value, list)
            }
        records.write(tmp_path / "results", content)
    report = render(tmp_path / "results", tmp_path / "out", Wanted(), ("csv", "md"))
    assert "q4" in text_of(report)


def written(results: Path, content: dict[str, Any]) -> list[Any]:
    records.write(results, content)
    return list(findings_of(results))


def test_trust_is_no_part_of_any_identity(folder: Path, tiny_model: Path) -> None:
    from bench.sweep.plan.cell import make_cell
    from bench.sweep.plan.compose import compose
    from bench.sweep.plan.request import parse

    asked = [f"accuracy.tasks=[{choice_task(folder)}]", "suite.measures=[accuracy,divergence]"]
    requests = [
        parse(["suite=smoke", f"model={tiny_model}", *asked, f"accuracy.trust_tasks={trust}"])
        for trust in ("false", "true")
    ]
    cells = [make_cell(compose(request, "q4", 0)) for request in requests]
    assert cells[0].key == cells[1].key
    assert [cell.settings.measures["divergence"]["trust_tasks"] for cell in cells] == [False, True]
    assert [p.fingerprint for p in cells[0].builds] == [p.fingerprint for p in cells[1].builds]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "no mapping at its top"),
        (b"- a\n- b\n", "no mapping at its top"),
        (b"\x7fELF\x02\x01\x01\0\0", ":1: a NUL character, so it is no UTF-8 text"),
        (b"task: caf\xe9\n", ":1: not UTF-8 at byte 9"),
        ("task: mine".encode("utf-16"), ":1: it is UTF-16; save it as UTF-8"),
        (b"task: mine\ntask: yours\n", ":1: no YAML: the key 'task' occurs twice"),
        (b"task: [mine\n", ":2: no YAML: expected ',' or ']'"),
        (b'task: "\\ud800"\n', "no YAML: half of a surrogate pair"),
        (b'task: "a\\0b"\n', "no YAML: a NUL character"),
        (b"task: " + b"[" * 5000, "it is nested too deeply"),
        (b"task: " + b"[" * 60 + b"]" * 60, "it is nested too deeply"),
        (b"task: &all [*all]\n", "it is nested too deeply"),
        (ANCHORS, "more than 100,000 values"),
        (b"task: !!python/object/apply:os.system [touch stolen]\n", ":1: no YAML: could not determine a constructor"),
        (b"task: !function [a]\n", ":1: no YAML: !function takes"),
        (b"include: mine.yaml\n", "mine.yaml includes itself"),
        (b"include: [other.yaml]\n", "mine.yaml includes itself"),
        (b"include: 5\n", "its `include` is 5, allowed: a file or a list of files"),
        (b"include: nowhere.yaml\n", "nowhere.yaml: no such file"),
        (b"include: .\n", "is a folder, allowed: a file"),
        (b"include: pipe\n", "is a device or a pipe, allowed: a file"),
        (b"include: endless\n", "is a device or a pipe, allowed: a file"),
        (b"include: large\n", "bytes, allowed: up to"),
        (b"include: tree0.yaml\n", "it includes more than 100 files"),
        (b"task: 2024-01-02\n", "its `task` is not a name"),
        (b"task: true\n", "its `task` is not a name"),
        (b"5: task\n", "its key 5 is no text"),
        (b"task: ../../stolen\n", "task is '../../stolen', allowed: at most 64 letters"),
        (b'task: "\\e[31mred"\n', "mine.yaml: task is '\\x1b[31mred', allowed"),
        (b"task: " + b"a" * 65, "allowed: at most 64 letters"),
        (b"task: mine\ndataset_path: json\ndataset_kwargs: [a]\n", "dataset_kwargs"),
        (b"task: mine\ndataset_path: [json]\n", "dataset_path is ['json'], allowed: text"),
        (PIPED, "is a device or a pipe"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_task_is_refused_in_one_line(folder: Path, content: bytes, named: str) -> None:
    (folder / "other.yaml").write_text("include: mine.yaml\n")
    for number in range(12):
        (folder / f"tree{number}.yaml").write_text(f"include: [tree{number + 1}.yaml, tree{number + 1}.yaml]\n")
    (folder / "tree12.yaml").write_text("task: mine\n")
    os.mkfifo(folder / "pipe")
    (folder / "endless").symlink_to("/dev/zero")
    with (folder / "large").open("wb") as stream:
        stream.truncate(2**40)
    path = folder / "mine.yaml"
    path.write_bytes(content)
    assert named in complaint(str(path))


@pytest.mark.parametrize("name", ["folder.yaml", "pipe.yaml", "dangling.yaml", "nowhere/"])
def test_a_path_that_is_no_file_is_no_task(refused: Run, folder: Path, name: str) -> None:  # noqa: F811
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "dangling.yaml").symlink_to("nowhere")
    assert "no task file" in refused(f"accuracy.tasks=[{folder}/{name}]")


def test_a_yaml_that_cannot_be_asked_stops_the_run_before_anything_is_built(
    refused: Run,  # noqa: F811
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stops: list[str] = []

    def here(names: tuple[str, ...], data_dir: str | None, trust_tasks: bool) -> None:
        """Do in this process what a child does, whose start takes seconds."""
        stops.append(names[0])
        with redirect_stderr(io.StringIO()) as printed:
            assert fetch.main(data_dir or "", "trust" if trust_tasks else "", *names) == 1
        raise UserError(printed.getvalue().splitlines()[-1])

    monkeypatch.setattr(fetch, "_fetch", here)
    path = task(folder, **GENERATED | {"doc_to_target": "{{ lipsum.__globals__ }}"})
    assert f"accuracy.tasks: {path}: a template fails: access to attribute" in refused(f"accuracy.tasks=[{path}]")
    assert stops == [path]
    assert not list(folder.glob("cache/artifacts/*/artifact.json"))


def test_the_last_words_of_a_library_are_no_reason_why_a_task_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed = subprocess.CompletedProcess([], -9, stderr="Generating train split: 100%")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: killed)
    with pytest.raises(UserError, match=r"^accuracy.tasks: the process that loads a, b ended with -9, perhaps out of"):
        fetch._fetch.__wrapped__(("a", "b"), None, False)
    killed.stderr = "accuracy.tasks: no such column\nException ignored in: <generator>"
    with pytest.raises(UserError, match=r"^accuracy.tasks: no such column$"):
        fetch._fetch.__wrapped__(("a", "b"), None, False)


def test_a_damaged_list_of_lm_evals_names_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "cache")
    monkeypatch.setattr(Cache, "default", lambda: cache)
    kept = cache.lm_eval_names(version("lm-eval"))
    answers = iter([(0, '{"sums": ["sums.yaml", [], "json", null]}'), (-9, "")])

    def lists(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        code, text = next(answers)
        kept.write_text(text)
        return subprocess.CompletedProcess([], code, stderr="")

    monkeypatch.setattr("subprocess.run", lists)
    list_names = catalogue.lm_eval_names.__wrapped__
    assert list_names() == list_names() == {"sums": catalogue.LmEvalName("sums.yaml", (), "json", None)}
    assert cache.is_marked
    kept.write_text('{"sums": ["su')
    with pytest.raises(UserError, match="lm-eval cannot list its tasks: the process that lists them exited with -9"):
        list_names()
