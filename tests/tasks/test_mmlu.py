"""MMLU from a folder of CSVs: the hub's prompts to the byte, the same subset for all, and mistakes in one line."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.tasks import catalogue, mmlu
from bench.tasks.load import chosen, load
from tests.tasks.conftest import GROUP, write
from variants.errors import UserError

REAL = Path(os.environ.get("MMLU_DIR", "MMLU_DIR is not set")).expanduser().absolute()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("mmlu") / "csv", catalogue.mmlu_subjects(["mmlu"]))


def as_on_the_hub(csvs: Path, root: Path, subjects: list[str]) -> None:
    """Write the CSVs in the layout that `datasets.load_dataset('cais/mmlu', subject)` finds under `root`."""
    import pandas as pd

    hub = root / "cais" / "mmlu"
    configs = []
    for subject in subjects:
        (hub / subject).mkdir(parents=True)
        for split in ("dev", "test"):
            with (csvs / split / f"{subject}_{split}.csv").open(encoding="utf-8", newline="") as stream:
                rows = [
                    {"question": row[0], "subject": subject, "choices": row[1:5], "answer": "ABCD".index(row[5])}
                    for row in csv.reader(stream)
                ]
            pd.DataFrame(rows).to_parquet(hub / subject / f"{split}-00000-of-00001.parquet")
        files = [{"split": split, "path": f"{subject}/{split}-*"} for split in ("dev", "test")]
        configs.append({"config_name": subject, "data_files": files})
    (hub / "README.md").write_text(f"---\n{json.dumps({'configs': configs})}\n---\n")


def prompts(name: str, data_dir: Path | None, num_fewshot: int = 5) -> dict[str, list[Any]]:
    leaves = load(name, data_dir, num_fewshot, seed=1).leaves
    asked = {}
    for leaf, task in leaves.items():
        task.build_all_requests()
        asked[leaf] = [(instance.args, instance.doc) for instance in task.instances]
    return asked


def same_as_the_hub(names: list[str], csvs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Compare the requests and rows of tasks from both sources; return how many requests there are."""
    as_on_the_hub(csvs, tmp_path / "hub", catalogue.mmlu_subjects(names))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path / "hub")
    n_requests = 0
    for name in names:
        hub, local = prompts(name, None), prompts(name, csvs)
        assert list(hub) == list(local)
        assert hub == local
        rows = [[list(doc.items()) for asked in side.values() for _, doc in asked] for side in (hub, local)]
        assert rows[0] == rows[1]  # the order of the columns too: a question's hash depends on it
        n_requests += sum(map(len, local.values()))
    return n_requests


def test_prompts_from_csvs_are_those_of_the_hub_to_the_byte(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert same_as_the_hub([GROUP], folder, tmp_path, monkeypatch) == 12 * 3 * 4


def test_prompts_from_the_real_csvs_are_those_of_the_hub_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subjects whose files have leading spaces, line breaks inside fields and logical symbols."""
    if not REAL.is_dir():
        pytest.skip("MMLU_DIR is not the folder of MMLU's CSVs")
    subjects = ("formal_logic", "marketing", "world_religions", "high_school_european_history")
    n_requests = same_as_the_hub([f"mmlu_{one}" for one in subjects], REAL, tmp_path, monkeypatch)
    assert n_requests == 4 * (126 + 234 + 171 + 165)


def test_a_prompt_is_the_published_one_with_five_examples(folder: Path) -> None:
    (prompt, letter), doc = prompts("mmlu_sociology", folder)["mmlu_sociology"][0]
    assert letter == " A"
    assert prompt.startswith("The following are multiple choice questions (with answers) about sociology.\n\n")
    assert prompt.count("\nAnswer:") == 6
    assert prompt.count("\nAnswer: ") == 5
    assert prompt.endswith(
        'It begins with a space, and\nhas a line\n\nbreak\nA.  "quoted", with a comma\nB.  B\nC. \nD. NA\nAnswer:'
    )
    assert doc["question"].startswith(" It begins")


def test_the_real_folder_has_14042_questions_of_57_subjects() -> None:
    if not REAL.is_dir():
        pytest.skip("MMLU_DIR is not the folder of MMLU's CSVs")
    subjects = catalogue.mmlu_subjects(["mmlu"])
    assert len(subjects) == 57
    assert sum(len(mmlu.read(mmlu.files(REAL, subject)["test"])) for subject in subjects) == 14042


def test_a_subset_takes_as_many_of_every_subject_and_depends_on_the_seed_alone(folder: Path) -> None:
    leaves = load(GROUP, folder, 5, seed=1).leaves
    first = chosen(leaves, 2, seed=7)
    assert first is not None
    assert {name: len(positions) for name, positions in first.items()} == dict.fromkeys(leaves, 2)
    assert all(positions == sorted(set(positions)) for positions in first.values())
    assert chosen(load(GROUP, folder, 0, seed=1).leaves, 2, seed=7) == first
    assert any(chosen(leaves, 2, seed=seed) != first for seed in range(3))
    assert all(len(positions) == 3 for positions in (chosen(leaves, 99, seed=7) or {}).values())


def test_a_subset_of_an_embedded_task_is_spread_over_the_subjects_of_its_questions() -> None:
    leaves = load("general", None, None, seed=1).leaves
    drawn = chosen(leaves, 5, seed=1) or {}
    docs = leaves["general"].eval_docs
    per_subject = Counter(docs[position]["subject"] for position in drawn["general"])
    assert len(per_subject) >= 8
    assert set(per_subject.values()) == {5}


def test_equal_content_is_the_same_cell_wherever_the_folder_lies(
    folder: Path, tmp_path: Path, tiny_model: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert cell_key(tiny_model, copy) == cell_key(tiny_model, folder)
    other = copy / "test" / "sociology_test.csv"
    other.write_text(other.read_text().replace("3,D", "3,C"))
    assert cell_key(tiny_model, copy) != cell_key(tiny_model, folder)
    assert cell_key(tiny_model, folder, "accuracy.seed=3") != cell_key(tiny_model, folder)
    assert cell_key(tiny_model, folder, "limit_per_subject=2") != cell_key(tiny_model, folder)


def cell_key(model: Path, data_dir: Path, *more: str) -> str:
    from bench.sweep.plan.cell import make_cell
    from bench.sweep.plan.compose import compose
    from bench.sweep.plan.request import parse

    arguments = ["suite=mmlu", f"model={model}", f"data_dir={data_dir}", *more]
    return make_cell(compose(parse(arguments), "base", 0)).key


Damage = Callable[[Path], Any]


def replace(name: str, old: str, new: str) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text().replace(old, new))

    return damage


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "test" / "sociology_test.csv").unlink(), "test/sociology_test.csv: no such file"),
        (lambda folder: shutil.rmtree(folder / "dev"), "has no folder 'dev'"),
        (lambda folder: shutil.rmtree(folder / "test"), "has no folder 'test'"),
        (lambda folder: (folder / "dev" / "virology_dev.csv").write_text(""), "dev/virology_dev.csv: no rows in it"),
        (replace("test/anatomy_test.csv", "4,5,C", "4,5"), "anatomy_test.csv:6: 5 columns instead of 6"),
        (replace("test/anatomy_test.csv", "3,D", "3,E"), "anatomy_test.csv:5: its answer is 'E', allowed: A, B"),
        (replace("test/anatomy_test.csv", "3,D", "3, D"), "anatomy_test.csv:5: its answer is ' D', allowed: A, B"),
        (replace("dev/anatomy_dev.csv", "anatomy dev 1?", " "), "anatomy_dev.csv:2: its question is empty"),
        (replace("dev/anatomy_dev.csv", "anatomy dev 1?", '"'), "anatomy_dev.csv:2: "),
        (replace("dev/anatomy_dev.csv", "anatomy dev 4?,4,5,6,7,A\n", ""), "anatomy_dev.csv: 4 examples, but"),
        (
            lambda folder: (folder / "test" / "anatomy_test.csv").write_bytes(b"caf\xe9,1,2,3,4,A\n"),
            "anatomy_test.csv:1: not UTF-8 at byte 3",
        ),
    ],
)
def test_a_damaged_folder_is_named_by_file_and_line(folder: Path, tmp_path: Path, damage: Damage, named: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    damage(copy)
    with pytest.raises(UserError) as error:
        catalogue.check(["mmlu"], copy, 5)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_no_task_reads_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="none of the tasks reads MMLU's CSVs"):
        catalogue.check(["general"], folder, None)


def test_a_byte_order_mark_and_long_fields_are_no_part_of_a_question(tmp_path: Path) -> None:
    path = tmp_path / "anatomy_test.csv"
    path.write_text(f"q?,1,2,3,{'4' * 200_000},A\n", encoding="utf-8-sig")
    assert mmlu.read(path) == [
        {"question": "q?", "subject": "anatomy", "choices": ["1", "2", "3", "4" * 200_000], "answer": 0}
    ]
