"""What tests of git share: a project in a repository of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machine.project import make_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")
