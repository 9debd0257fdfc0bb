"""Which records a revision names: a commit, a tag, HEAD, or the uncommitted state beside it."""

from __future__ import annotations

import pytest

from bench.records.selection import Wanted
from bench.selftest import records
from tests.checkout import Checkout, set_in
from variants.errors import UserError


def test_a_named_commit_is_its_clean_state_and_head_by_default_its_newest(checkout: Checkout) -> None:
    checkout.measure(checkout.head)
    checkout.measure(checkout.head, dirty=True, change=set_in("started_at", value="2026-11-24T00:00:00+00:00"))
    comparison = checkout.compare("HEAD")
    assert (comparison.base.dirty, comparison.head.dirty) == (False, True)
    again = checkout.compare(f"{checkout.head[:12]}-dirty", "HEAD")
    assert (again.base.dirty, again.head.dirty) == (True, False)


def test_the_base_is_of_the_sweep_and_machine_of_the_head(checkout: Checkout) -> None:
    late = "2026-11-24T00:00:00+00:00"
    checkout.measure(checkout.base)
    checkout.measure(checkout.base, lambda c: (c["machine"].update(id="other"), c.update(started_at=late))[0])
    checkout.measure(checkout.head)
    assert checkout.compare().base.machine == records.MACHINE
    with pytest.raises(UserError, match=r"no records for HEAD \(.*sweep smoke"):
        checkout.compare(wanted=Wanted(sweep="smoke"))


def test_worktree_is_the_uncommitted_state_of_head(checkout: Checkout) -> None:
    from dataclasses import asdict

    from bench.machine.git import state

    checkout.measure(checkout.head)
    (checkout.root / "recipe.yaml").write_text("rank: 1\n")
    now = asdict(state(checkout.root))
    late = "2026-11-24T00:00:00+00:00"
    checkout.measure(checkout.head, set_in("commit", value=now))
    checkout.measure(checkout.head, lambda c: c.update(started_at=late, commit={**now, "tree": "other"}))
    comparison = checkout.compare("HEAD", "worktree")
    assert (comparison.base.dirty, comparison.head.label, comparison.notes) == (
        False,
        f"{checkout.head[:12]}-dirty-{now['tree']}",
        (),
    )
    (checkout.root / "recipe.yaml").write_text("rank: 2\n")
    comparison = checkout.compare("HEAD", "worktree")
    assert comparison.head.label == f"{checkout.head[:12]}-dirty-other"
    assert comparison.notes[0].startswith("worktree: the checkout has changed since")


def test_a_tag_is_a_revision(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    checkout._git("tag", "v1", checkout.base)
    assert checkout.compare("v1").base.sha == checkout.base


def test_a_commit_of_which_only_an_uncommitted_state_was_measured_is_noted(checkout: Checkout) -> None:
    checkout.measure(checkout.base, dirty=True)
    checkout.measure(checkout.head)
    (note,) = checkout.compare().notes
    assert note.startswith(f"HEAD~1: its commit was not measured, {checkout.base[:12]}-dirty-changed")
