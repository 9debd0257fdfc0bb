"""An attack on the cache: files that are changed, added, swapped or linked are never measured."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from variants.artifact import (
    MANIFEST,
    VERIFIED,
    Artifact,
    DamagedError,
    Kind,
    StepReport,
    check_artifact,
    read_artifact,
)
from variants.build import build
from variants.cache import Cache
from variants.errors import UserError
from variants.step import Planned, Role, fingerprint, plan

Catalogue = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Copy:
    """A step that needs no engine: it copies its parent."""

    role: ClassVar[Role] = "convert"
    takes: ClassVar[tuple[Kind | None, ...]] = ("hf",)
    gives: ClassVar[Kind] = "hf"
    tools: ClassVar[tuple[str, ...]] = ()
    on_device: ClassVar[bool] = False
    revision: ClassVar[int] = 0
    expected_cost: ClassVar[float] = 0.0

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        assert parent is not None
        for file in parent.files:
            shutil.copyfile(parent.path / file.name, out / file.name)
        return StepReport({})

    def expected_bytes(self, n_parameters: int) -> int:
        return 0

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        return 0


@pytest.fixture(scope="module")
def chain(catalogue: Catalogue) -> list[Planned]:
    (source,) = plan("test", ["source"], catalogue, "cpu")
    return [source, Planned("copy", Copy(), fingerprint(Copy(), source.fingerprint, "cpu"), {})]


def build_all(cache: Cache, chain: list[Planned]) -> Artifact:
    artifact: Artifact | None = None
    for planned in chain:
        artifact = build(cache, planned, artifact, "cpu")
    assert artifact is not None
    return artifact


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, chain: list[Planned]) -> Artifact:
    return build_all(Cache(tmp_path_factory.mktemp("built")), chain)


@pytest.fixture
def copied(built: Artifact, tmp_path: Path) -> tuple[Cache, Artifact]:
    """A cache of its own with the source and its copy, both verified there."""
    cache = Cache(tmp_path / "cache")
    shutil.copytree(built.path.parent, cache.artifacts)
    artifact = cache.find(built.fingerprint)
    assert artifact is not None
    return cache, artifact


def overwrite(path: Path) -> None:
    """Change one byte in the middle, and nothing that `ls` shows."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def swap_in_place(folder: Path) -> None:
    overwrite(folder / "model.safetensors")


def replace_by_another(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "new").write_bytes(content)
    (folder / "new").replace(folder / "model.safetensors")


def link_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere")


def make_a_pipe(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def make_a_folder(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()


def add_a_file(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def add_a_link(folder: Path) -> None:
    (folder / "secret").symlink_to("/etc")


def take_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def nest_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("[" * 100_000)


def make_the_manifest_a_pipe(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)


def call_it_another(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(fingerprint="0" * 64))


def leave_the_folder(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["files"][0].update(name="../../../secret"))


def be_its_own_parent(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(parent=folder.name))


def descend_from_another_place(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(parent="../../elsewhere"))


def state_text_for_a_number(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(n_parameters="many"))


def be_made_from_other_bytes(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(parent_content="0" * 64))


ATTACKS = [
    *(swap_in_place, replace_by_another, link_elsewhere, make_a_pipe, make_a_folder, add_a_file, add_a_link),
    *(take_the_manifest, nest_the_manifest, make_the_manifest_a_pipe, call_it_another, leave_the_folder),
    *(be_its_own_parent, descend_from_another_place, state_text_for_a_number, be_made_from_other_bytes),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_what_was_changed_in_the_cache_is_never_opened_and_is_built_again(
    copied: tuple[Cache, Artifact], chain: list[Planned], attack: Callable[[Path], None]
) -> None:
    cache, artifact = copied
    attack(artifact.path)
    with pytest.raises(DamagedError) as refused:
        read_artifact(artifact.path)
    assert "\n" not in str(refused.value)
    assert cache.find(artifact.fingerprint) is None
    assert cache.why_to_build(artifact.fingerprint)
    again = build_all(cache, chain)
    assert again.files == artifact.files
    assert [path for path in cache.artifacts.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_parent_is_built_again_and_what_was_made_of_it_stays(
    copied: tuple[Cache, Artifact], chain: list[Planned]
) -> None:
    cache, artifact = copied
    assert cache.missing(chain) == []
    overwrite(cache.artifact(chain[0].fingerprint) / "model.safetensors")
    assert cache.missing(chain) == chain[:1]
    assert cache.find(artifact.fingerprint) is None
    kept = (artifact.path / "model.safetensors").stat()
    build_all(cache, chain)
    assert (artifact.path / "model.safetensors").stat() == kept


def test_a_file_is_read_once_and_not_again_before_it_looks_different(
    copied: tuple[Cache, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of 50 GB must not be read at the start of each cell."""
    cache, artifact = copied
    read: list[Path] = []

    def noted(path: Path) -> str:
        read.append(path)
        return "changed"

    monkeypatch.setattr("variants.artifact.read_sha256", noted)
    assert cache.find(artifact.fingerprint) == artifact
    assert read == []
    assert cache.damage(artifact.fingerprint, in_full=True)
    assert read == [artifact.path / artifact.files[0].name]


def test_a_cache_that_was_copied_or_is_of_an_older_version_is_verified_once(
    copied: tuple[Cache, Artifact], tmp_path: Path
) -> None:
    cache, artifact = copied
    (artifact.path / VERIFIED).unlink()
    assert cache.find(artifact.fingerprint) == artifact
    first = (artifact.path / VERIFIED).read_bytes()
    shutil.copytree(cache.root, tmp_path / "copy")
    moved = Cache(tmp_path / "copy").find(artifact.fingerprint)
    assert moved is not None
    assert (moved.path / VERIFIED).read_bytes() != first


def test_bits_that_rot_without_a_trace_are_found_when_all_is_verified(copied: tuple[Cache, Artifact]) -> None:
    cache, artifact = copied
    file = artifact.path / "model.safetensors"
    overwrite(file)
    look = file.stat()
    seen = {"size_bytes": look.st_size, "mtime_ns": look.st_mtime_ns, "ctime_ns": look.st_ctime_ns}
    verified = json.loads((artifact.path / VERIFIED).read_text())
    verified |= {file.name: {"sha256": verified[file.name]["sha256"], "look": {**seen, "inode": look.st_ino}}}
    (artifact.path / VERIFIED).write_text(json.dumps(verified))
    assert cache.damage(artifact.fingerprint) is None  # as if the disk had changed it, and nobody had written it
    assert cache.damage(artifact.fingerprint, in_full=True)
    assert cache.find(artifact.fingerprint) is None


def test_a_note_of_what_was_verified_is_not_written_through_a_link(
    copied: tuple[Cache, Artifact], tmp_path: Path
) -> None:
    cache, artifact = copied
    (tmp_path / "victim").write_text("mine")
    (artifact.path / VERIFIED).unlink()
    (artifact.path / VERIFIED).symlink_to(tmp_path / "victim")
    assert cache.find(artifact.fingerprint) == artifact
    assert (tmp_path / "victim").read_text() == "mine"


class Failing(Copy):
    """A step that fails half way."""

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        (out / "half.safetensors").write_bytes(b"half")
        raise RuntimeError("half way")


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(RuntimeError, match="half way"):
        build(cache, Planned("failing", Failing(), "f" * 64, {}), None, "cpu")
    assert [path.name for path in cache.artifacts.iterdir()] == [f"{'f' * 64}.lock"]


def test_a_place_in_the_cache_that_is_no_folder_is_cleared(chain: list[Planned], tmp_path: Path) -> None:
    cache, planned = Cache(tmp_path / "cache"), chain[0]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis").write_text("mine")
    cache.artifacts.mkdir(parents=True)
    cache.artifact(planned.fingerprint).symlink_to(tmp_path / "elsewhere")
    (cache.artifacts / f".{planned.fingerprint}.7").symlink_to(tmp_path / "elsewhere")
    made = build(cache, planned, None, "cpu")
    assert check_artifact(made.path).fingerprint == planned.fingerprint
    assert (tmp_path / "elsewhere" / "thesis").read_text() == "mine"


def test_a_full_disk_is_named_by_its_key(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    inside, outside = OSError(28, "No space left on device", str(tmp_path / "x")), OSError(28, "No space", "/elsewhere")
    assert str(cache.no_room(inside)).startswith(f"cache_dir={tmp_path}: no space left on its disk; free some, or ")
    assert cache.no_room(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert cache.no_room(OSError(122, "Disk quota exceeded"))
    for other in (outside, UserError("steps.lora: no"), RuntimeError("another"), OSError(2, "No such file"), None):
        assert cache.no_room(other) is None
