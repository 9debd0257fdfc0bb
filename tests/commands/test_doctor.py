"""`bench doctor` prints its own lines alone."""

from __future__ import annotations

import logging
import os
import warnings

import pytest

from bench.commands.doctor import silenced


def test_what_libraries_print_while_doctor_looks_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(os.fdopen(2, "w", closefd=False))  # made before, as a library's own is
    logger = logging.getLogger("a.library")
    logger.addHandler(handler)
    with silenced():
        warnings.warn("install an optional package", stacklevel=1)
        logger.warning("no GPU support")
        print("loading")
        os.write(2, b"native code speaks\n")
    print("the line of the check")
    logger.removeHandler(handler)
    assert capfd.readouterr() == ("the line of the check\n", "")


def test_what_is_wrong_is_still_raised() -> None:
    with pytest.raises(RuntimeError, match="broken"), silenced():
        raise RuntimeError("broken")
