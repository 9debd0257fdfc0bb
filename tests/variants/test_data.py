"""Text that others wrote is read in one place: the same bytes for all, and each fault by file and line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from variants.data.rows import TaskRow, read_rows
from variants.data.tables import read_csv, read_jsonl, read_table
from variants.data.text import read_text, read_yaml
from variants.errors import UserError

GOOD = {"subject": "s", "question": "q?", "choices": ["a", "b"], "answer": 1}


def line(**changed: object) -> str:
    return json.dumps(GOOD | changed)


def refused_rows(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_rows(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("second", "named"),
    [
        ("{", ":2: no JSON: Expecting property name"),
        ("[]", ":2: got [], allowed: one JSON object a line"),
        ("null", ":2: got null, allowed"),
        ('{"question": "a", "question": "b"}', ":2: no JSON: the key 'question' occurs twice"),
        ('{"question": "\\ud800"}', ":2: no JSON: half of a surrogate pair"),
        ('{"question": "a\\u0000b"}', ":2: no JSON: a NUL character"),
        ('{"answer": NaN}', ":2: no JSON: NaN is no number"),
        ('{"answer": -Infinity}', ":2: no JSON: -Infinity is no number"),
        ('{"answer": 1e999}', ":2: no JSON: 1e999 is no number"),
        ('{"answer": 9223372036854775808}', ":2: no JSON: 9223372036854775808"),
        ('{"answer": ' + "9" * 5000 + "}", ":2: no JSON: 99999999999999999999… is no number"),
        ('{"a": ' + "[" * 100_000, ":2: no JSON: it is nested too deeply"),
        ('{"a": ' + "[" * 90 + "]" * 90 + "}", ":2: no JSON: it is nested too deeply"),
        (line(choices=["a"]), ":2: 1 choices, allowed: two and more"),
        (line(choices=[]), ":2: 0 choices"),
        (line(choices="ab"), ":2: choices is 'ab', allowed: a list of texts"),
        (line(choices=["a", None]), ":2: choices is ['a', None]"),
        (line(choices=["a", "b", "a"]), ":2: choices 0 and 2 are the same: 'a'; all must differ"),
        (line(choices=["a b", " a\tb "]), ":2: choices 0 and 1 are the same but for spaces: ' a\\tb '"),
        (line(choices=["a", " "]), ":2: choice 1 is empty"),
        (line(answer=2), ":2: answer is 2, allowed: 0 to 1"),
        (line(answer=-1), ":2: answer is -1"),
        (line(answer=True), ":2: answer is True"),
        (line(answer=1.0), ":2: answer is 1.0"),
        (line(answer="1"), ":2: answer is '1'"),
        (line(answer=None), ":2: answer is None"),
        (line(question=" "), ":2: needs a question"),
        (line(question=7), ":2: needs a question"),
        (line(subject=7), ":2: needs a question, and it and its subject are text"),
        ('{"question": "q?", "answer": 0}', ":2: no 'choices'; a row is"),
    ],
)
def test_a_row_that_is_none_is_named_by_file_and_line(tmp_path: Path, second: str, named: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{line()}\n{second}\n")
    assert refused_rows(path).startswith(f"{path}{named}")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", ": no rows in it"),
        (b"\n \r\n\n", ": no rows in it"),
        (line().encode("utf-16"), ":1: it is UTF-16; save it as UTF-8"),
        (line().encode("utf-32"), ":1: it is UTF-32"),
        (line().encode("utf-16-le"), ":1: a NUL character"),
        (f"{line()}\n".encode() + '{"question": "café"}'.encode("latin-1"), ":2: not UTF-8 at byte"),
        (f"{line()}\n".encode() + b'"\xed\xa0\x80"', ":2: not UTF-8 at byte"),  # a surrogate written as UTF-8
        (f"{line()}\n\ufeff{line()}".encode(), ":2: no JSON: Unexpected UTF-8 BOM"),
    ],
)
def test_a_file_that_is_no_text_of_rows_is_named(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    assert refused_rows(path).startswith(f"{path}{named}")


def test_marks_and_line_ends_change_no_row(tmp_path: Path) -> None:
    lines = [line(question="A question, quite long: " + "é" * 300_000), line(subject="t")]
    rows = [TaskRow("s", "A question, quite long: " + "é" * 300_000, ("a", "b"), 1), TaskRow("t", "q?", ("a", "b"), 1)]
    for number, (start, end) in enumerate(
        [("", "\n"), ("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n"), ("", "\n\n")]
    ):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes((start + end.join(lines)).encode())
        assert read_rows(path) == rows
        path.write_bytes((start + end.join(["question,answer", "a,0", '"b, and ""c""",1', ""])).encode())
        assert [row.fields for row in read_csv(path)] == [
            {"question": "a", "answer": "0"},
            {"question": 'b, and "c"', "answer": "1"},
        ]
        path.write_bytes((start + end.join(["a: 1", "b: x"])).encode())
        assert read_yaml(path) == {"a": 1, "b": "x"}
        path.write_bytes((start + end.join(["a", "b"])).encode())
        assert read_text(path).replace("\n\n", "\n") == "a\nb"


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(2**40)
    (tmp_path / "dangling").symlink_to("nowhere")
    for name, why in [
        ("pipe", "is a device or a pipe"),
        ("zero", "is a device or a pipe"),
        ("large", "1,099,511,627,776 bytes, allowed: up to"),
        ("dangling", "no such file"),
        (".", "is a folder, allowed: a file"),
        ("a\0b", "cannot be read: "),
        ("x" * 300, "cannot be read: File name too long"),
    ]:
        assert why in refused_rows(tmp_path / name)
        with pytest.raises(UserError, match=r"is a|no such|bytes|cannot"):
            read_text(tmp_path / name)


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line())
    first = read_rows(path)
    first.clear()  # whoever shuffles his list shuffles nobody else's
    assert read_rows(path) == [TaskRow("s", "q?", ("a", "b"), 1)]
    path.write_text(line(answer=0) + " ")
    assert read_rows(path)[0].answer == 0


def test_braces_in_prompts_and_questions_are_text() -> None:
    row = TaskRow("", "What is {question} in {0} {{x}}?", ("a", "b"), 0)
    prompt = 'Answer as {"json": {}} {}: {question}\n{% raw %}{{ 7 }}'
    assert row.asked(prompt) == prompt.replace("{question}", row.question)


LOOKS = [
    "2024-01-02",
    "2024-01-02T03:04:05Z",
    "007",
    "1e5",
    "null",
    "NA",
    "",
    "True",
    "0x1F",
    "1_000",
    " a ",
    "½",
    "NaN",
]


def test_a_text_stays_a_text_whatever_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"a": look, "b": [look]}) + "\n" for look in LOOKS))
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f'"{look}",x\n' for look in LOOKS))
    assert [row.fields["a"] for row in read_jsonl(tmp_path / "t.jsonl")] == LOOKS
    assert [row.fields["a"] for row in read_csv(tmp_path / "t.csv")] == LOOKS


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a,b\n1\n", ":2: 1 columns, but its first line names 2"),
        ("a,b\n1,2,3\n", ":2: 3 columns"),
        ("a,a\n1,2\n", ":1: its columns are ['a', 'a']"),
        ("a,\n1,2\n", ":1: its columns are ['a', '']"),
        ("a,b\n", ": no rows in it"),
        ('a,b\n1,"2\n3,4\n', ":2: no CSV: unexpected end of data"),
        ('a,b\n1,"2\n3"\n"4"x,5\n', ":4: no CSV: "),
    ],
)
def test_a_csv_that_is_none_is_named_by_file_and_line(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_csv(path)
    assert str(error.value).startswith(f"{path}{named}")


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"a": "1"}, {"a": 1}], "t.jsonl:2: a is a whole number, but text at"),
        ([{"a": 1}, {"a": 0.5}], "t.jsonl:2: a is a number with a point, but a whole number at"),
        ([{"a": 1}, {"a": True}], "t.jsonl:2: a is true or false, but a whole number at"),
        ([{"a": ["x"]}, {"a": ["x", 2]}], "t.jsonl:2: a[] is a whole number, but text at"),
        ([{"a": "x"}, {"a": ["x"]}], "t.jsonl:2: a is a list, but text at"),
        ([{"a": {"b": 1}}, {"a": {"b": "1"}}], "t.jsonl:2: a.b is text, but a whole number at"),
        ([{"a": 1, "b": 2}, {"a": 1}], "t.jsonl:2: no 'b', which"),
        ([{"a": 1}, {"a": 1, "b": 2}], "t.jsonl:1: no 'b', which"),
    ],
)
def test_a_column_is_of_one_kind_in_every_row(tmp_path: Path, rows: list[dict[str, object]], named: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"t\.jsonl:\d") as error:
        read_table([path], "json")
    assert named in str(error.value)


def test_a_subject_may_be_missing_and_null_is_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1, "subject": "s"}\n{"a": null}\n')
    assert [row.fields for row in read_table([path], "json")] == [
        {"a": 1, "subject": "s"},
        {"a": None, "subject": None},
    ]
