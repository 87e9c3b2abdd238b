"""Environment files become edits of a document; each of their lines is accounted for, and no secret is repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.drawn import unhurried
from mlconsole.core.documents import Format, Layout
from mlconsole.core.findings import Severity
from mlconsole.documents import EnvFile, Unplaced, import_env, read, splice
from mlconsole.documents.envlines import env_lines

MODELS: dict[str, Any] = {
    "relevance": {
        "en": {"endpoint": "relevance-v7", "share": 100, "fields": ["title", "body"], "threshold": 0.5, "debug": False},
        "de": {"endpoint": "relevance-v7", "fields": ["title"], "threshold": 0.52, "note": None},
    },
    "delay-risk": {"EU": {"threshold": 0.5, "maxAge": 30, "steps": [1, 2.5]}, "US": {"threshold": 0.5}},
    "limits": {"per_second": 10},
}
LAYOUT = Layout(slices=(("relevance", "language"), ("delay-risk", "region")))


def imported(text: str, **options: Any) -> EnvFile:
    return import_env(text, MODELS, LAYOUT, **options)


def lines(text: str) -> list[tuple[str, str, str]]:
    return [(one.name, one.text, one.problem) for one in env_lines(text)]


def test_how_lines_are_written() -> None:
    text = (
        "\ufeff# thresholds\r\nA=1\r\n  export B = two words   # why\nC='$X # \\n'\n"
        'D="a\\n\\"b\\" \\$Y" # so\n\nE=\nF="two\nlines"\nG=a#b\nno line\n=1\n'
        'H=\'open\nI="x" y\nJ=${X}/y'
    )
    assert lines(text) == [
        ("A", "1", ""),
        ("B", "two words", ""),
        ("C", "$X # \\n", ""),
        ("D", 'a\n"b" $Y', ""),
        ("E", "", ""),
        ("F", "two\nlines", ""),
        ("G", "a#b", ""),
        ("", "", "this line is no NAME=value"),
        ("", "", "this line is no NAME=value"),
        ("H", "", "its quotation mark is never closed"),
        ("I", "", "something stands behind its closing quotation mark"),
        ("J", "${X}/y", ""),
    ]
    assert [one.line for one in env_lines(text)] == [2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 14, 15]


def test_names_find_their_places() -> None:
    found = imported(
        "RELEVANCE_DE_THRESHOLD=0.62\nrelevance.en.endpoint=relevance-v8\nDELAY_RISK_EU_MAX_AGE=45\nDELAY_RISK_EU_STEPS=1, 3\n"
        "RELEVANCE_EN_FIELDS=title,body,tags\nRELEVANCE_EN_DEBUG=yes\nexport LIMITS__PER_SECOND=20\nRELEVANCE_DE_NOTE=ask anna\n"
    )
    assert found == EnvFile(
        {
            "/relevance/de/threshold": 0.62,
            "/relevance/en/endpoint": "relevance-v8",
            "/delay-risk/EU/maxAge": 45,
            "/delay-risk/EU/steps": [1, 3],
            "/relevance/en/fields": ["title", "body", "tags"],
            "/relevance/en/debug": True,
            "/limits/per_second": 20,
            "/relevance/de/note": "ask anna",
        }
    )


def test_below_a_pointer() -> None:
    assert imported("DE_THRESHOLD=0.6\n", at="/relevance").edits == {"/relevance/de/threshold": 0.6}
    assert imported("DE_SHARE=5\n", at="/relevance").edits == {"/relevance/de/share": 5}
    assert imported("THRESHOLD=0.6\n", at="/relevance/de").edits == {"/relevance/de/threshold": 0.6}
    assert imported("DE_THRESHOLD=0.6\n").edits == imported("RELEVANCE_DE_THRESHOLD=0.6\n", at="/nope").edits == {}


def test_fields_that_entries_lack_and_entries_that_are_not_there_yet() -> None:
    known = {"relevance": ("en", "de", "fr"), "delay-risk": ("EU", "US"), "tone": ("en",)}
    text = "RELEVANCE_DE_SHARE=50\nRELEVANCE_FR_THRESHOLD=.6\nRELEVANCE_FR_FIELDS=title\nTONE_EN_THRESHOLD=1\nRELEVANCE_IT_THRESHOLD=1\n"
    found = imported(text, known=known)
    assert found.edits == {
        "/relevance/de/share": 50,
        "/relevance/fr": {"threshold": 0.6, "fields": ["title"]},
        "/tone": {"en": {"threshold": 1}},
    }
    assert [one.name for one in found.unplaced] == ["RELEVANCE_IT_THRESHOLD"]
    body = json.dumps(MODELS, indent=2).encode()
    assert read(splice(body, Format.JSON, found.edits), Format.JSON).value["relevance"]["fr"] == {"threshold": 0.6, "fields": ["title"]}


def test_one_entry_for_each_model() -> None:
    layout = Layout(entries="/models/{model}", threshold="/limits/threshold")
    document = {"models": {"tone": {"endpoint": "x"}}}
    found = import_env("MODELS_TONE_LIMITS_THRESHOLD=0.4\nMODELS_NEW_ENDPOINT=y\n", document, layout, known={"new": ()})
    assert found.edits == {"/models/tone/limits": {"threshold": 0.4}, "/models/new": {"endpoint": "y"}}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("RELEVANCE_DE_THRESHOLD=high", "relevance · de · threshold is a number, and this is none"),
        ("RELEVANCE_DE_THRESHOLD=1e999", "relevance · de · threshold is a number, and this is none"),
        ("RELEVANCE_DE_THRESHOLD=", "relevance · de · threshold is a number, and this is none"),
        ("RELEVANCE_EN_SHARE=${SHARE}", "relevance · en · share is a number, and this is none"),
        ("RELEVANCE_EN_DEBUG=maybe", "relevance · en · debug is true or false, and this is neither"),
        ("DELAY_RISK_EU_STEPS=1,b", "delay-risk · EU · steps is a list whose items are of another kind"),
        ("RELEVANCE_EN={broken", "relevance · en is an object, and this is none"),
        ("RELEVANCE_EN_SPLIT=v1:50", "relevance · en · split is an object, and this is none"),
        ("LOG_LEVEL=debug", "nothing in the document is called so"),
    ],
)
def test_what_is_not_taken_over_is_listed(line: str, why: str) -> None:
    found = imported(f"\n{line}\n")
    name = line.partition("=")[0]
    assert found.edits == {}
    assert found.unplaced == (Unplaced(name, 2, why),)
    assert [(one.severity, one.text, one.line) for one in found.findings] == [(Severity.LOOK, f"{name} is not taken over: {why}.", 2)]


def test_two_meanings_are_left_to_a_person() -> None:
    found = import_env("A_B_C=1\n", {"a-b": {"c": 0}, "a": {"b_c": 0}}, LAYOUT)
    assert found.edits == {}
    assert found.unplaced[0].why == "it may mean a-b · c or a · b_c"


def test_names_that_come_twice() -> None:
    found = imported('RELEVANCE_DE_THRESHOLD=0.6\nRELEVANCE_EN={"threshold": 1}\nrelevance-en-threshold=2\nRELEVANCE_DE_THRESHOLD=0.7\n')
    assert found.edits == {"/relevance/en": {"threshold": 1}, "/relevance/de/threshold": 0.7}
    assert [(one.name, one.why) for one in found.unplaced] == [
        ("RELEVANCE_DE_THRESHOLD", "it stands on line 4 again, and the last one counts"),
        ("relevance-en-threshold", "RELEVANCE_EN on line 2 means relevance · en, too"),
    ]


def test_what_stands_there_already_is_counted() -> None:
    found = imported("RELEVANCE_DE_THRESHOLD=0.520\nRELEVANCE_EN_SHARE=100\n")
    assert found.edits == {}
    assert [(one.severity, one.text) for one in found.findings] == [(Severity.OK, "2 of the file's values stand in the document already.")]


def test_other_variables_are_not_put_in() -> None:
    found = imported("RELEVANCE_EN_ENDPOINT=\"relevance-${STAGE}\"\nRELEVANCE_DE_ENDPOINT='$raw'\n")
    assert found.edits == {"/relevance/en/endpoint": "relevance-${STAGE}", "/relevance/de/endpoint": "$raw"}
    assert [(one.rule, one.pointer, one.line) for one in found.findings] == [("reference", "/relevance/en/endpoint", 1)]


@pytest.mark.parametrize(
    "name",
    [
        "API_TOKEN", "DB_PASSWORD", "CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY", "OPENAI_APIKEY", "SIGNING_KEY", "DB_PASS", "dbpasswd",
        "relevance.de.token", "GOOGLE_APPLICATION_CREDENTIALS", "PRIVATE_KEY_PEM", "PG_PWD",
    ],
)  # fmt: skip
def test_secrets_by_name_are_refused_and_not_repeated(name: str) -> None:
    document = {"relevance": {"de": {"token": "x"}}}
    found = import_env(f"{name}=hunter2\n", document, LAYOUT)
    assert found.edits == {}
    assert [(one.severity, one.rule, one.line) for one in found.findings] == [(Severity.STOP, "secret", 1)]
    assert found.unplaced[0].name == name
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    "value",
    ["postgres://anna:hunter2@db/x", "-----BEGIN PRIVATE KEY-----", "AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnop", "xoxb-1234567890-abc"],
)
def test_secrets_by_value_are_refused_and_not_repeated(value: str) -> None:
    found = imported(f"RELEVANCE_EN_ENDPOINT={value}\n")
    assert found.edits == {}
    assert [one.rule for one in found.findings] == ["secret"]
    assert value not in repr(found)


def test_what_only_sounds_like_a_secret() -> None:
    document = {"relevance": {"keywords": "", "max_tokens": 1, "pass_rate": 0.5, "author": ""}}
    text = "RELEVANCE_KEYWORDS=a\nRELEVANCE_MAX_TOKENS=512\nRELEVANCE_PASS_RATE=0.9\nRELEVANCE_AUTHOR=anna\n"
    assert len(import_env(text, document, LAYOUT).edits) == 4


_LINES = st.sampled_from(
    [
        "RELEVANCE_DE_THRESHOLD=",
        "RELEVANCE_EN_FIELDS=",
        "DB_PASSWORD=",
        "OTHER=",
        "RELEVANCE_EN_ENDPOINT='",
        'export X="',
        "",
        "# c",
        "garbage",
    ]
)


@unhurried
@given(st.lists(st.tuples(_LINES, st.text("01.,abc\"'$\\ ", max_size=6)), max_size=12))
def test_no_line_is_lost(parts: list[tuple[str, str]]) -> None:
    text = "\n".join(head + rest for head, rest in parts)
    found = imported(text)
    accounted = {one.line for one in found.unplaced}
    for line in env_lines(text):
        if line.line not in accounted:
            assert (line.problem, line.name.startswith("RELEVANCE")) == ("", True)
    taken = sum(1 for line in env_lines(text) if line.line not in accounted)
    same = sum(int(one.text.split()[0]) for one in found.findings if one.rule == "same")
    assert len(found.edits) + same == taken


def test_a_file_that_is_too_large() -> None:
    found = imported("A=1\n" * 300_000)
    assert found.edits == {}
    assert [one.rule for one in found.findings] == ["size"]


def test_many_lines_are_counted_after_the_first_ones() -> None:
    found = imported("".join(f"NOPE_{number}=1\n" for number in range(1000)))
    assert len(found.unplaced) == 1000
    assert len(found.findings) == 201
    assert found.findings[-1].text == "There are 800 more of the file's lines to look at."
