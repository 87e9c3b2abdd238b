"""What people type to change a config document: pointers, values, files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.cli.editing import bytes_of, editor_of, edits_of, pointer_of, value_of
from mlconsole.core.errors import InvalidFile, UsageError
from mlconsole.core.pointers import REMOVE, join, parse

NAMES = st.text(min_size=1, max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("relevance.pl.threshold", "/relevance/pl/threshold"),
        ("/relevance/pl/threshold", "/relevance/pl/threshold"),
        ("relevance", "/relevance"),
        ("a/b.c~d", "/a~1b/c~0d"),
        ("fields.0", "/fields/0"),
        ("", ""),
    ],
)
def test_a_pointer_is_written_in_two_ways(text: str, pointer: str) -> None:
    assert pointer_of(text) == pointer


@given(st.lists(NAMES.filter(lambda name: "." not in name), min_size=1, max_size=4))
def test_dots_and_slashes_name_the_same_place(parts: list[str]) -> None:
    assert pointer_of(join(parts)) == join(parts)
    if not parts[0].startswith("/"):
        assert parse(pointer_of(".".join(parts))) == tuple(parts)


@given(VALUES)
def test_what_json_says_is_the_value(value: object) -> None:
    assert value_of(json.dumps(value, ensure_ascii=False)) == value
    assert value_of(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["relevance-v7", "0,48", "de en", "", "-", "1.2.3", "tru", "v4 90", "0x1f", "01"])
def test_what_is_no_json_is_a_text(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "1e999", "[1,", '{"a": 1, "a": 2}', '"open', "9" * 30, "[" * 5000, '{"a": NaN}', '"\\ud800"']
)
def test_what_was_meant_as_json_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no value: .* Nothing was changed"):
        value_of(text)


def test_edits_are_put_together() -> None:
    edits = edits_of(["relevance.pl.threshold=0.48", '/note="a=b"', "relevance.pl.endpoint=v=7"], ["relevance.de.share"])
    assert edits == {
        "/relevance/pl/threshold": 0.48,
        "/note": "a=b",
        "/relevance/pl/endpoint": "v=7",
        "/relevance/de/share": REMOVE,
    }
    with pytest.raises(UsageError, match="given twice"):
        edits_of(["a.b=1", "/a/b=2"], [])
    with pytest.raises(UsageError, match="names no value"):
        edits_of([], [""])


def test_bytes_come_from_a_file_or_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here.json").write_bytes(b"\xff{}")
    assert bytes_of(str(tmp_path / "here.json")) == b"\xff{}"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"piped\n")))
    assert bytes_of("-") == b"piped\n"
    for name in (str(tmp_path), str(tmp_path / "missing"), "nul\0"):
        with pytest.raises(InvalidFile, match="can't be read"):
            bytes_of(name)


def test_whose_editor_it_is(tmp_path: Path) -> None:
    assert editor_of({"VISUAL": "code --wait", "EDITOR": "vi"}) == ["code", "--wait"]
    assert editor_of({"VISUAL": " ", "EDITOR": "vi -n"}) == ["vi", "-n"]
    with pytest.raises(UsageError, match="no editor here"):
        editor_of({"PATH": str(tmp_path)})
    with pytest.raises(UsageError, match="can't be read as a command"):
        editor_of({"EDITOR": "vi 'x"})
    (tmp_path / "nano").touch(mode=0o755)
    assert editor_of({"PATH": str(tmp_path)}) == [str(tmp_path / "nano")]
