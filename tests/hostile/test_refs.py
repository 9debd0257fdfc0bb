"""Git refs and revisions, as typed and as a repository names them: none is an option, a path, or a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import main
from bench.history.branch import branch_commits
from bench.machine import git
from bench.selftest import scratch
from bench.terminal import visible
from tests.branch import Branch
from tests.checkout import Checkout
from variants.errors import UserError

REVISIONS = (
    *("--output=pwned", "--upload-pack=touch pwned", "--exec=touch pwned", "--parseopt", "--all", "--help", "-", "-h"),
    *("", " ", "\n", "HEAD\nHEAD", "HEAD\x1b[2J", "HEAD\x00", "\udcff", "\u202eDAEH", "HEAD\t", "HEAD\r"),
    *("@{99999}", "@{-99}", "@{u}", "@{push}", "HEAD@{", "@{999999999999999999999}", "HEAD~99999999999999999999"),
    *("HEAD..HEAD~1", "HEAD...HEAD", "^HEAD", "HEAD^@", "HEAD^!", "HEAD^99", ":/", ":/(((((", "HEAD^{/nonesuch}"),
    *(":0:x", "HEAD:x", "HEAD^{tree}", "HEAD^{blob}", "/etc/passwd", "../../x", "refs/heads/../../config"),
    *("*", "**", "[a-z]*", "?", "worktree-dirty", "HEAD-dirty-../..", "HEAD-dirty-*", "0" * 40, "<img src=x>", "=1+1"),
    *("A" * 5_000, "HEAD~1" * 5_000, "HEAD-dirty" + "x" * 5_000, "$(touch pwned)", "`touch pwned`", "|touch pwned"),
)  # fmt: skip
REF_NAMES = ("--output=pwned", "-x", "a b", "é", "日本", "x;touch pwned", "$(touch pwned)", "<b>", "%s")
SUBJECTS = (
    *("a\tb\tc", "a\x0cb", "a\x0bb", "a\u2028b", "a\x85b", "a\x1b[2Jb", "\x1e\x1f"),
    *("commit " + "0" * 40, "é" * 1_000, "-"),
)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_revision_that_names_no_commit_is_one_line(
    checkout: Checkout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    checkout.measure(checkout.base)
    monkeypatch.chdir(checkout.root)
    before = sorted(checkout.root.rglob("[!.]*"))
    with pytest.raises(UserError) as caught:
        checkout.compare(revision)
    assert len(str(caught.value)) < 1_000
    results = f"--results={checkout.results}"
    commands = [["report", f"--commit={revision}", results], ["history", f"--branch={revision}", results]]
    if not revision.startswith("-"):
        commands += [["compare", revision, results], ["bisect", "size_bytes", "q4", revision, "HEAD"]]
    for command in commands:
        try:
            code = main(command)
        except SystemExit as ended:  # what argparse refuses
            code = int(str(ended.code))
        captured = capsys.readouterr()
        assert code == 2, captured
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err == visible(captured.err)
        assert len(captured.err) < 2_000
    assert sorted(checkout.root.rglob("[!.]*")) == before


@pytest.mark.parametrize("name", REF_NAMES)
def test_refs_of_any_name_are_names_alone(branch: Branch, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(branch.root)
    place = branch.root / ".git" / "refs" / "tags" / name
    place.write_text(f"{branch.shas[3]}\n")  # git itself refuses to make some of these
    commits = branch_commits(branch.results, "HEAD")
    assert len(commits) == len(git.ancestors(branch.results)) == 30
    assert commits[3].tags in ((name,), ())
    assert {path.name for path in branch.root.iterdir()} <= {".git", "results", "cache"}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subjects_of_commits_are_text_alone(checkout: Checkout, subject: str) -> None:
    scratch.git(checkout.root, "commit", "-q", "--allow-empty", "--cleanup=verbatim", "-m", subject)
    scratch.git(checkout.root, "config", "log.showSignature", "true")
    scratch.git(checkout.root, "config", "i18n.logOutputEncoding", "latin1")
    scratch.git(checkout.root, "config", "log.excludeDecoration", "refs/tags/*")
    scratch.git(checkout.root, "tag", "v1")
    commits = branch_commits(checkout.root, "HEAD")
    assert [commit.sha for commit in commits[:2]] == [checkout.base, checkout.head]
    assert commits[2].subject == subject
    assert commits[2].tags == ("v1",)
    assert git.subject_of(checkout.root, commits[2].sha) == commits[2].subject


def test_a_subject_that_is_no_utf8_can_be_written(checkout: Checkout, tmp_path: Path) -> None:
    message = tmp_path / ".git" / "message"
    message.write_bytes(b"caf\xe9\n")
    scratch.git(checkout.root, "commit", "-q", "--allow-empty", "-F", str(message))
    assert branch_commits(checkout.root, "HEAD")[2].subject.encode().startswith(b"caf")


def test_a_clone_without_its_whole_history_is_named_where_a_revision_is_missing(checkout: Checkout) -> None:
    checkout.measure(checkout.head)
    clone = checkout.root / "clone"
    scratch.git(checkout.root, "clone", "-q", "--depth", "1", f"file://{checkout.root}", str(clone))
    checkout.results = checkout.results.rename(clone / "results")
    with pytest.raises(UserError, match="git fetch --unshallow"):
        checkout.compare("HEAD~1")
    with pytest.raises(UserError, match="git fetch --unshallow"):
        checkout.compare(checkout.base)
