"""Options: what a file says is checked against what is declared, and what is wrong is told with its place."""

from __future__ import annotations

from typing import Any

import pytest

from mlconsole.core.errors import InvalidFile
from mlconsole.plugin.options import Kind, Option
from mlconsole.plugin.validation import Located, validate
from mlconsole.workspace.reading import parse_yaml

OPTIONS = (
    Option("label", Kind.TEXT, "a label", default="none"),
    Option("name", Kind.NAME, "a name", required=True),
    Option("folder", Kind.PATH, "a folder"),
    Option("port", Kind.INTEGER, "a port", default=8080, minimum=1, maximum=65535),
    Option("share", Kind.NUMBER, "a share", minimum=0),
    Option("loud", Kind.FLAG, "whether", default=False),
    Option("size", Kind.TEXT, "how large", choices=("small", "large")),
    Option("tags", Kind.LIST, "tags", of=Option("", Kind.TEXT, "a tag")),
    Option("ports", Kind.MAP, "name → port", of=Option("", Kind.INTEGER, "a port")),
    Option("inner", Kind.GROUP, "more", fields=(Option("depth", Kind.INTEGER, "how deep", default=3),)),
    Option("rest", Kind.ANY, "anything"),
)


def node(text: str) -> Located:
    return parse_yaml(text.encode(), "f.yaml", minimal="{}")


def told(text: str) -> str:
    with pytest.raises(InvalidFile) as caught:
        validate(OPTIONS, node(text), "f.yaml")
    assert caught.value.next
    return caught.value.message


def value(text: str, key: str) -> Any:
    return validate(OPTIONS, node(f"name: a\n{key}: {text}\n"), "f.yaml")[key]


def test_defaults_fill_what_is_left_out() -> None:
    assert validate(OPTIONS, node("name: a\nloud:\n"), "f.yaml") == {
        "label": "none",
        "name": "a",
        "folder": None,
        "port": 8080,
        "share": None,
        "loud": False,
        "size": None,
        "tags": [],
        "ports": {},
        "inner": {"depth": 3},
        "rest": None,
    }


def test_a_group_that_is_left_out_altogether_is_one_without_keys() -> None:
    assert validate(OPTIONS[:1], None, "f.yaml") == {"label": "none"}
    with pytest.raises(InvalidFile, match="name is missing: a name"):
        validate(OPTIONS, None, "f.yaml")


def test_defaults_are_nobodys_to_change() -> None:
    options = (Option("tags", Kind.LIST, "tags", default=["a"]),)
    validate(options, None, "f.yaml")["tags"].append("b")
    assert validate(options, None, "f.yaml") == {"tags": ["a"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label: 1.10", 'f.yaml:2:8: label 1.10 is a number in YAML and would lose its last digit; write "1.10".'),
        ("label: 4", 'f.yaml:2:8: label 4 is a number in YAML; write "4".'),
        ("label: 0x1f", 'f.yaml:2:8: label 0x1f is a number in YAML; write "0x1f".'),
        ("label: 1_000", 'f.yaml:2:8: label 1_000 is a number in YAML; write "1_000".'),
        ("label: 12e456", 'f.yaml:2:8: label 12e456 is a number in YAML; write "12e456".'),
        ("label: 1:30", 'f.yaml:2:8: label 1:30 is a number in YAML; write "1:30".'),
        ("label: .nan", 'f.yaml:2:8: label .nan is a number in YAML; write ".nan".'),
        ("label: no", 'f.yaml:2:8: label no is a flag in YAML; write "no".'),
        ("label: 2026-01-31", 'f.yaml:2:8: label 2026-01-31 is a date in YAML; write "2026-01-31".'),
        ("tags: [en, no]", 'f.yaml:2:12: tags[1] no is a flag in YAML; write "no".'),
        ("label: [a]", "f.yaml:2:8: label has to be a text, and is a list."),
        ("folder: 4", 'f.yaml:2:9: folder 4 is a number in YAML; write "4".'),
        ('folder: "a\\0b"', 'f.yaml:2:9: folder "a\\x00b" is no path: it holds a NUL character.'),
        ('folder: ""', 'f.yaml:2:9: folder "" is no path: it is empty.'),
        ('port: "80"', 'f.yaml:2:7: port has to be a whole number without quotes, and is a text ("80").'),
        ("port: 80.5", "f.yaml:2:7: port 80.5 is no whole number."),
        ("port: 0", "f.yaml:2:7: port 0 is too small: at least 1."),
        ("port: 70000", "f.yaml:2:7: port 70000 is too large: at most 65535."),
        ("share: .inf", "f.yaml:2:8: share .inf is no finite number."),
        ("share: 1e999", "f.yaml:2:8: share 1e999 is no finite number."),
        ("loud: 1", 'f.yaml:2:7: loud has to be true or false, and is a number ("1").'),
        ('loud: "true"', 'f.yaml:2:7: loud has to be true or false without quotes, and is a text ("true").'),
        ("size: smal", 'f.yaml:2:7: size "smal" is not one of what it can be. Did you mean small?'),
        ("ports: [1]", "f.yaml:2:8: ports has to be a group of names with their values, and is a list."),
        ("ports: {a: b}", 'f.yaml:2:12: ports.a has to be a whole number, and is a text ("b").'),
        ("ports: {a: }", "f.yaml:2:9: ports.a has no value."),
        ("inner: {dept: 1}", 'f.yaml:2:9: unknown key "dept" in inner. Did you mean depth?'),
        ("inner: 3", 'f.yaml:2:8: inner has to be a group of keys, and is a number ("3").'),
        ("rest: {a: [1, .nan]}", "f.yaml:2:15: rest.a[1] .nan is no finite number."),
        ("lable: x", 'f.yaml:2:1: unknown key "lable". Did you mean label?'),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, expected: str) -> None:
    assert told(f"name: a\n{text}\n") == expected


def test_numbers_that_readers_disagree_about_are_refused() -> None:
    assert told("name: a\nport: 0100\n").startswith("f.yaml:2:7: port 0100 is a number that not every reader takes for the same")
    assert told("name: a\nrest: {t: 1:30}\n").startswith("f.yaml:2:11: rest.t 1:30 is a number that not every reader")


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ('"1.10"', "label", "1.10"),
        ("!!str 1.10", "label", "1.10"),
        ("1.9.1", "label", "1.9.1"),
        ("v4", "label", "v4"),
        ("'no'", "label", "no"),
        ("|\n  a\n  b", "label", "a\nb\n"),
        ("-5", "rest", -5),
        ("1e-3", "rest", 0.001),
        (".5", "share", 0.5),
        ("2", "share", 2),
        ("yes", "loud", True),
        ("{a: [1, x, 2026-01-31, ~, true]}", "rest", {"a": [1, "x", "2026-01-31", None, True]}),
        ("../elsewhere", "folder", "../elsewhere"),
        ("/absolute", "folder", "/absolute"),
    ],
)
def test_values(text: str, key: str, expected: Any) -> None:
    found = value(text, key)
    assert found == expected
    assert type(found) is type(expected)


def test_several_problems_tell_the_first_and_how_many_more() -> None:
    message = told("name: a\nport: x\nlable: y\nsize: tiny\n")
    assert message.startswith("f.yaml:2:7: port has to be")
    assert message.endswith("(and 2 more)")


def test_a_misspelt_required_key_is_one_problem() -> None:
    assert told("# one\n\nnmae: a\n") == 'f.yaml:3:1: unknown key "nmae". Did you mean name?'


def test_a_name_has_a_form() -> None:
    assert told("name: a b\n").startswith('f.yaml:1:7: name "a b" is no name: letters, digits')


@pytest.mark.parametrize("text", ['"\\e[2J": 1', 'name: "\\e]0;x\\a"', 'size: "\\u202e"', 'ports: {"\\e[1m": x}', 'name: "\\x9b"'])
def test_control_sequences_are_harmless_in_messages(text: str) -> None:
    message = told(text)
    assert message.isprintable()


def test_endless_text_is_cut_in_messages() -> None:
    assert len(told(f"name: a\n{'x' * 900}: 1\n")) < 300
    assert len(told(f"name: {'x' * 90_000}\n")) < 300
