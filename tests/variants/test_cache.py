"""The layout of the cache: an existing cache can be used again, whatever version of the code wrote it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import make
from variants.cache import Cache
from variants.errors import UserError
from variants.paths import ROOT, resolve
from variants.step import plan

FINGERPRINT = "a" * 64


def test_every_place_keeps_the_name_that_existing_caches_have(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    places = {
        cache.artifact(FINGERPRINT): f"artifacts/{FINGERPRINT}",
        cache.artifact_lock(FINGERPRINT): f"artifacts/{FINGERPRINT}.lock",
        cache.unfinished(FINGERPRINT): f"artifacts/.{FINGERPRINT}.{os.getpid()}",
        cache.scores(FINGERPRINT): f"scores/{FINGERPRINT}",
        cache.jobs("embedded-reference"): "jobs/embedded-reference",
        cache.cell_lock("key"): "jobs/key.lock",
        cache.removal_lock: "artifacts.lock",
        cache.history(Path("/srv/results")): "history/94ce8dab05216ab7",
        cache.lm_eval_names("0.4.9"): "lm-eval-0.4.9-tasks.json",
        cache.bisect: "bisect",
    }
    assert {path: str(path.relative_to(tmp_path)) for path in places} == places


def test_the_cache_of_an_artifact_is_the_one_that_it_lies_in(
    cache: Path, catalogue: dict[str, dict[str, object]]
) -> None:
    source = make(cache, catalogue, ["source"])
    assert Cache.of(source) == Cache(cache)
    chain = plan("test", ["source"], catalogue, "cpu")
    assert Cache(cache).missing(chain) == []
    assert Cache(cache / "elsewhere").missing(chain) == chain


def test_the_default_cache_is_the_one_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Cache.default() == Cache(ROOT / ".cache")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("cache_dir: /srv/cache\n")
    monkeypatch.setattr("variants.cache.ROOT", tmp_path)
    assert Cache.default() == Cache(resolve("/srv/cache"))


@pytest.mark.parametrize("content", ["", "[1]", "cache_dir: [a]", "cache_dir: null", "a: ["])
def test_a_configuration_that_names_no_cache_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(content)
    monkeypatch.setattr("variants.cache.ROOT", tmp_path)
    with pytest.raises(UserError, match=r"config\.yaml:"):
        Cache.default()


def test_whatever_lies_in_the_cache_for_an_artifact_has_its_lock(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    finished, building, scores = cache.artifact(FINGERPRINT), cache.unfinished(FINGERPRINT), cache.scores(FINGERPRINT)
    for folder in (finished, building, scores):
        folder.mkdir(parents=True)
    cache.artifact_lock(FINGERPRINT).touch()
    assert sorted(cache.removable()) == sorted([finished, building, scores])
    assert {cache.lock_of(folder) for folder in cache.removable()} == {cache.artifact_lock(FINGERPRINT)}
    assert [folder for folder in cache.removable() if cache.holds_scores(folder)] == [scores]
    assert cache.leftovers(FINGERPRINT) == [building]
