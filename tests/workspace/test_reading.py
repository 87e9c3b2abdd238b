"""Whatever bytes a file holds: a value, or one line about what is wrong and where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.errors import InvalidFile
from mlconsole.core.text import neutralise
from mlconsole.plugin.validation import Located, Problems, plain
from mlconsole.workspace.reading import parse_yaml, read_text, read_yaml

WHERE = "mlconsole.yaml"


def parse(data: bytes) -> Located:
    return parse_yaml(data, WHERE, minimal="{workspace: sample}")


def attempt(data: bytes) -> InvalidFile | None:
    try:
        parse(data)
    except InvalidFile as error:
        return error
    return None


def told(data: bytes) -> str:
    with pytest.raises(InvalidFile) as caught:
        parse(data)
    assert caught.value.next
    return caught.value.message


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "mlconsole.yaml:1:1: the file is empty."),
        (b"# only a comment\n", "mlconsole.yaml:1:1: the file is empty."),
        (b"---\n", "mlconsole.yaml:1:1: the file is empty."),
        (b"a: 1\n\tb: 2\n", "mlconsole.yaml:2:1: a tab; YAML indents with blanks only."),
        (b"a:\n\tb: 2\n", "mlconsole.yaml:2:1: a tab; YAML indents with blanks only."),
        (b"a: [1,\n", "mlconsole.yaml:1:7: not valid YAML: did not find expected node content at the end."),
        (
            b"a: 'x\n",
            "mlconsole.yaml:1:6: not valid YAML: found unexpected end of stream at the end.",
        ),
        (
            b"a: [1,\nb: 2\n",
            "mlconsole.yaml:2:5: not valid YAML: did not find expected ',' or ']' at the end (while parsing a flow sequence that begins",
        ),
        (
            b"a: [1\nb: }\n",
            "mlconsole.yaml:2:2: not valid YAML: did not find expected ',' or ']' (while parsing a flow sequence that begins",
        ),
        (b"[", "mlconsole.yaml:1:2: not valid YAML: did not find expected node content at the end."),
        (b"a: 1\nb: 2\na: 3\n", 'mlconsole.yaml:3:1: the key "a" stands here and on line 1 already.'),
        (b"a: 1\n---\nb: 2\n", "mlconsole.yaml:2:1: a second document begins here; one file is one document."),
        (b"- a\n", "mlconsole.yaml:1:1: the file has to be a group of keys, and is a list."),
        (b"a: !!python/object:os.system x\n", "mlconsole.yaml:1:4: the tag tag:yaml.org,2002:python/object:os.system is not allowed here"),
        (b"a: !mine {x: 1}\n", "mlconsole.yaml:1:4: the tag !mine is not allowed here"),
        (b"a: &x [1, *x]\n", "mlconsole.yaml:1:11: the alias *x stands inside of what it names."),
        (b"a: *x\n", "mlconsole.yaml:1:4: the alias *x names no anchor above it."),
        (b"a: &x {b: 1}\nc:\n  <<: *x\n", "mlconsole.yaml:3:3: merge keys (<<) are not understood here"),
        (b"1: a\n", 'mlconsole.yaml:1:1: the key 1 is a number in YAML; write "1".'),
        (b"no: a\n", 'mlconsole.yaml:1:1: the key no is a flag in YAML; write "no".'),
        (b"? [a]\n: b\n", "mlconsole.yaml:1:3: a key has to be a text, and is a list."),
        (b"a: 1\nb: \x00\n", "mlconsole.yaml:2:4: a NUL character: is this a text file?"),
        (b"a: \x1b[2J\n", "mlconsole.yaml:1:4: the control character \\x1b can't stand here."),
        ("é: ü".encode() + b"\xff\n", "mlconsole.yaml:1:5: byte 0xff is not UTF-8: is this a text file?"),
        ("a: 1".encode("utf-16"), "mlconsole.yaml:1:1: the file is UTF-16."),
        (b"\x7fELF\x02\x01\x01\x00\x00", "mlconsole.yaml:1:8: a NUL character: is this a text file?"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(data: bytes, expected: str) -> None:
    message = told(data)
    assert message.startswith(expected)
    assert message.isprintable()


LAUGHS = b"a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + b"".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n".encode() for i in range(1, 12))
CHAIN = b"a0: &a0 x\n" + b"".join(f"a{i}: &a{i} [[[[[[[[[[*a{i - 1}]]]]]]]]]]\n".encode() for i in range(1, 99))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (LAUGHS, "more than 50 000 values"),
        (CHAIN, "nested more than 64 deep"),
        (b"[" * 900_000, "nested more than 64 deep"),
        (b"- " * 400_000, "nested more than 64 deep"),
        (b"a: " + b"{a: " * 200_000, "nested more than 64 deep"),
        (b"- a\n" * 200_000, "more than 50 000 values"),
        (b"".join(b"k%d: 1\n" % i for i in range(80_000)), "more than 50 000 values"),
        (b"a: " + b"1_" * 400_000, ""),
        (b"x" * 900_000, "has to be a group of keys"),
        (b"&" + b"a" * 900_000, ""),
    ],
)
def test_small_files_that_would_grow_or_crash_are_refused_quickly(data: bytes, expected: str) -> None:
    start = time.process_time()  # of this process alone: a busy machine is no slow reader
    problem = attempt(data)
    assert expected in (problem.message if problem else "")
    assert time.process_time() - start < 5


def test_aliases_of_whole_values_work_and_stand_at_their_new_path() -> None:
    node = parse(b"a: &x {b: [1, 2]}\nc: *x\n")
    copied = node.at("c", "b", 1)
    assert (copied.value, copied.path) == (2, "c.b[1]")


def test_places_are_counted_from_one_in_characters() -> None:
    node = parse("\ufeffü: {ö: [a, é, b]}\r\nz: 1\r\n".encode())
    assert (node.at("ü", "ö", 2).line, node.at("ü", "ö", 2).column) == (1, 15)
    assert node.at("z").key == (2, 1)


def test_files_that_are_none(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "loop").symlink_to("loop")
    huge = tmp_path / "huge"
    huge.write_bytes(b"#" * 1_000_001)
    told: dict[str, str] = {}
    for name in ("missing", "pipe", "loop", "huge", ".", "x" * 300, "a\0b"):
        with pytest.raises(InvalidFile) as caught:
            read_yaml(tmp_path / name, name, minimal="{}")
        told[name] = caught.value.message
        assert caught.value.message.isprintable() or "\0" in name
    assert told["missing"] == "missing can't be read: No such file or directory."
    assert told["pipe"] == "pipe is no regular file."
    assert told["huge"] == "huge is larger than 1 MB."
    with pytest.raises(InvalidFile):
        read_text(Path("/dev/zero"), "zero")


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_value_or_one_error(data: bytes) -> None:
    problem = attempt(data)
    assert problem is None or (problem.message.startswith(f"{WHERE}:") and neutralise(str(problem)) == str(problem))


@given(st.text(alphabet="ab1.:-_ \n\t[]{},&*!|>'\"%@`#?~\\<=\x85\u2028\ufeff", max_size=60))
def test_arbitrary_yaml_like_text_is_a_value_or_one_error(text: str) -> None:
    problem = attempt(text.encode())
    assert problem is None or neutralise(str(problem)) == str(problem)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Co", "Cs", "Zl", "Zp"]), max_size=8) | st.sampled_from(
    [
        "no",
        "1.10",
        "0x1f",
        "1:30",
        "2026-01-31",
        "~",
        "",
        "1e3",
        "=",
        ".5",
        "0o7",
        "1_0",
        "<<",
        "null",
        "-",
        ".inf",
        "a\nb",
        "\t",
        "\x1b[2J",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12)


@given(st.dictionaries(TEXTS, JSON, min_size=1, max_size=4))
def test_json_is_read_as_it_is(value: dict[str, object]) -> None:
    problems = Problems(WHERE)
    assert plain(parse(json.dumps(value, ensure_ascii=False).encode()), problems) == value
    assert not problems.found


WORDS = st.text("abcdeü 'x", min_size=1, max_size=6)


@given(
    st.dictionaries(
        WORDS,
        st.recursive(
            WORDS | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8
        ),
        min_size=1,
    )
)
def test_what_pyyaml_writes_is_read_as_it_was(value: dict[str, object]) -> None:
    problems = Problems(WHERE)
    assert plain(parse(yaml.safe_dump(value, allow_unicode=True).encode()), problems) == value
    assert not problems.found


def test_importing_the_workspace_imports_neither_yaml_nor_metadata() -> None:
    code = "import sys, mlconsole.workspace; print([m for m in ('yaml', 'importlib.metadata', 'sqlmodel', 'textual') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
