"""Which files of a folder are the model, and how they come into the cache."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.model_folders import INDEX, complaint, small_folder, weights
from variants.step import content_sha256
from variants.steps.source import Source
from variants.storage import placing
from variants.weights import tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_folder(tmp_path / "model")


def shards(folder: Path) -> None:
    """Turn the folder's weights into two shards with their index."""
    (folder / "model.safetensors").unlink()
    files = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for name, file in files.items():
        weights(folder / file, name)
    (folder / INDEX).write_text(json.dumps({"weight_map": files}))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (tmp_path / name).write_text("{}")
    (folder / name).symlink_to(tmp_path / name)
    assert f"{name}: a link out of its folder" in complaint(folder)


def build_source(folder: Path, out: Path) -> list[str]:
    out.mkdir()
    report = Source(str(folder)).run(None, out, "cpu")
    return sorted(report.warnings)


def test_what_is_no_file_of_a_model_stays_where_it_is(folder: Path, tmp_path: Path) -> None:
    before = content_sha256(str(folder))
    (folder / "notes.txt").symlink_to("/etc/passwd")
    (folder / "secret.json").write_text("{}")
    (folder / "README.md").write_text("")
    (folder / os.fsdecode(b"a\n\xff.model")).write_text("")
    build_source(folder, tmp_path / "out")
    taken = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == taken
    assert content_sha256(str(folder)) == before


def test_a_later_write_to_the_source_changes_no_artifact(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "data")
    (folder / "model.safetensors").symlink_to("data")
    (folder / "merges.txt").write_text("a b")
    build_source(folder, tmp_path / "out")
    before = (tmp_path / "out/model.safetensors").read_bytes()
    with (folder / "data").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert (tmp_path / "out/model.safetensors").read_bytes() == before
    assert not (tmp_path / "out/model.safetensors").is_symlink()
    assert (tmp_path / "out/merges.txt").read_text() == "a b"


def test_a_record_holds_words_of_a_config_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text('{"architectures": ["A\\ud800", NaN], "dtype": "bfloat16"}')
    (tmp_path / "out").mkdir()
    notes = Source(str(folder)).run(None, tmp_path / "out", "cpu").notes
    assert notes == {"architectures": None, "dtype": "bfloat16", "weights": "copied"}


@pytest.fixture
def snapshot(folder: Path, tmp_path: Path) -> Path:
    """The folder as the hub's cache lays it out; the weights lie in the store that all its models share."""
    cache = tmp_path / "hub"
    snapshot, blobs = cache / "models--owner--name/snapshots/0123", cache / "models--owner--name/blobs"
    for place in (snapshot, blobs, cache / "blobs/ab"):
        place.mkdir(parents=True)
    for file in list(folder.iterdir()):
        file.rename(blobs / file.name)
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    (blobs / "model.safetensors").rename(cache / "blobs/ab/weights")
    (blobs / "model.safetensors").symlink_to("../../blobs/ab/weights")
    return snapshot


def test_weights_in_the_hubs_own_store_are_linked_and_the_rest_is_copied(snapshot: Path, tmp_path: Path) -> None:
    build_source(snapshot, tmp_path / "out")
    assert (tmp_path / "out/model.safetensors").samefile(tmp_path / "hub/blobs/ab/weights")
    assert not (tmp_path / "out/config.json").samefile(snapshot / "config.json")


@pytest.mark.parametrize(("rule", "copies"), [("1\n", True), ("0\n", False), (None, False), ("", True)])
def test_the_plan_counts_a_copy_where_the_system_lets_nobody_link_the_file_of_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str | None, copies: bool
) -> None:
    file, stated = folder / "model.safetensors", tmp_path / "protected_hardlinks"
    file.chmod(0o444)
    if rule:
        stated.write_text(rule)
    elif rule is not None:
        stated.mkdir()  # it cannot be read
    monkeypatch.setattr(placing, "_can_clone", lambda *_: False)
    monkeypatch.setattr(placing, "PROTECTED", stated)
    assert placing.copied_bytes(file, tmp_path) == 0  # it is this user's
    monkeypatch.setattr("os.geteuid", lambda: file.stat().st_uid + 1)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert placing.copied_bytes(file, tmp_path) == (file.stat().st_size if copies else 0)
    monkeypatch.setattr("os.access", lambda _, mode: mode == os.R_OK | os.W_OK)
    assert placing.copied_bytes(file, tmp_path) == 0


@pytest.mark.parametrize("to", ["../../../models--other--name/blobs/x", "../../refs/x", "../other/x", "../../../../x"])
def test_a_link_out_of_the_hubs_store_is_refused(snapshot: Path, to: str) -> None:
    target = snapshot / to
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("{}")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(to)
    assert "config.json: a link out of its folder" in complaint(snapshot)


def test_a_store_that_is_itself_a_link_out_of_the_cache_is_refused(snapshot: Path, tmp_path: Path) -> None:
    blobs = snapshot.parents[1] / "blobs"
    blobs.rename(tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")
    assert "a link out of its folder" in complaint(snapshot)


def test_the_index_decides_which_weights_are_the_model_and_others_are_named(folder: Path, tmp_path: Path) -> None:
    shards(folder)
    before = content_sha256(str(folder))
    others = ["adapter_model.safetensors", "consolidated.safetensors", "model-old.safetensors", "model.safetensors"]
    for name in others:
        weights(folder / name, "a", "b", "stale")
    out = tmp_path / "out"
    warnings = build_source(folder, out)
    assert [warning.partition(" ")[0] for warning in warnings] == others
    assert sorted(file.name for file in out.glob("*.safetensors")) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert [tensor.name for tensor in tensors(folder)] == [tensor.name for tensor in tensors(out)] == ["a", "b"]
    assert content_sha256(str(folder)) == before


def test_without_an_index_model_safetensors_is_the_model_for_every_engine(folder: Path, tmp_path: Path) -> None:
    """The converter reads every model*.safetensors of a folder, transformers one: the artifact holds no other."""
    before = content_sha256(str(folder))
    weights(folder / "model-00001-of-00001.safetensors", "stale")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    warnings = build_source(folder, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").glob("*.safetensors")] == ["model.safetensors"]
    assert [tensor.name for tensor in tensors(folder)] == ["a"]
    assert content_sha256(str(folder)) == before
    assert [warning.partition(" ")[0] for warning in warnings] == [
        "model-00001-of-00001.safetensors",
        "pytorch_model.bin",
    ]


def test_an_adapter_is_no_model(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    assert "an adapter and no model; merge it" in complaint(folder)
    (folder / "adapter_model.safetensors").unlink()
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")
    assert "an adapter and no model; merge it" in complaint(folder)


def test_weights_of_another_name_are_refused_with_what_to_do(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    assert "weights weights.safetensors, allowed: model.safetensors" in complaint(folder)
    assert "rename it" in complaint(folder)
    weights(folder / "model-00001-of-00002.safetensors", "a")
    assert f"fetch {INDEX}" in complaint(folder)


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("config.json", "transformers_weights", "other.safetensors"),
        ("tokenizer_config.json", "fast_tokenizer_files", ["tokenizer.4.0.json"]),
    ],
)
def test_a_config_does_not_choose_other_files_for_one_engine(folder: Path, file: str, key: str, value: object) -> None:
    (folder / file).write_text(json.dumps({key: value}))
    assert f"{file}: {key} has transformers read other files" in complaint(folder)
