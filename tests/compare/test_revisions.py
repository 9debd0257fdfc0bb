"""Which records a revision names: a commit, a tag, HEAD, or the uncommitted changes on top of it."""

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
    checkout.git("tag", "v1", checkout.base)
    assert checkout.compare("v1").base.sha == checkout.base


def test_a_commit_of_which_only_an_uncommitted_state_was_measured_is_noted(checkout: Checkout) -> None:
    checkout.measure(checkout.base, dirty=True)
    checkout.measure(checkout.head)
    (note,) = checkout.compare().notes
    assert note.startswith(f"HEAD~1: its commit was not measured, {checkout.base[:12]}-dirty-changed")


def commits(checkout: Checkout, n: int) -> list[str]:
    return [checkout._commit(f"later {number}") for number in range(n)]


def test_commits_that_were_not_measured_are_stood_for_by_the_nearest_before_them(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    *_, before, newest = commits(checkout, 4)
    comparison = checkout.compare("HEAD~1")
    assert (comparison.base.sha, comparison.head.sha) == (checkout.base, checkout.head)
    assert comparison.notes == (
        f"HEAD~1 ({before[:12]}) was not measured: {checkout.base[:12]}, 4 commits before it, stands for it",
        f"HEAD ({newest[:12]}) was not measured: {checkout.head[:12]}, 4 commits before it, stands for it",
    )
    assert comparison.exit_code == 0
    checkout.measure(newest)
    comparison = checkout.compare("HEAD~1")
    assert (comparison.base.sha, comparison.head.sha) == (checkout.head, newest)
    assert len(comparison.notes) == 1


def test_nothing_stands_for_what_was_typed_in_full_or_for_two_named_revisions(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    *_, before, _ = commits(checkout, 2)
    whole = ((before,), (before[:9],), ("HEAD-dirty",), ("worktree",))
    for typed in (*whole, ("HEAD~1", "HEAD"), (checkout.base, "HEAD")):
        with pytest.raises(UserError, match="no records for"):
            checkout.compare(*typed)
    with pytest.raises(UserError, match=r"no records for HEAD \("):  # HEAD~2 is what would stand for it
        checkout.compare("HEAD~2")


def test_an_older_commit_stands_in_only_with_the_sweep_that_was_asked_for(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, set_in("sweep", value="smoke"))
    commits(checkout, 2)
    with pytest.raises(UserError, match=r"no records for HEAD~1 \(.*sweep smoke"):
        checkout.compare("HEAD~1", wanted=Wanted(sweep="smoke"))
