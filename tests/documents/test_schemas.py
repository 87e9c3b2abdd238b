"""Documents against their schema: in a process of its own, which is ended when it takes too long, and fetches nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mlconsole.core.documents import Format
from mlconsole.core.findings import Finding, Severity
from mlconsole.documents import Reading, check_schema, read, validate

MODELS = b"""\
relevance:
  en: {threshold: 0.5, fields: [title, body]}
  de:
    threshold: high   # which?
    fields: []
    extra: null
"""
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "entry": {
            "type": "object",
            "properties": {
                "threshold": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
                "fields": {"type": "array", "minItems": 1, "items": {"enum": ["title", "body", None]}},
            },
            "required": ["threshold"],
            "additionalProperties": False,
        }
    },
    "additionalProperties": {"additionalProperties": {"$ref": "#/$defs/entry"}},
}
DRAFTS = {
    "4": "http://json-schema.org/draft-04/schema#",
    "6": "http://json-schema.org/draft-06/schema#",
    "7": "https://json-schema.org/draft-07/schema",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}


def models() -> Reading:
    return read(MODELS, Format.YAML)


def told(findings: tuple[Finding, ...]) -> list[str]:
    return [f"{one.severity} {one.rule} {one.line} {one.pointer}: {one.text}" for one in findings]


def body(schema: Any) -> bytes:
    return json.dumps(schema, indent=1).encode()


def test_findings_have_their_place() -> None:
    assert told(validate(models(), body(SCHEMA))) == [
        'stop schema 4 /relevance/de/threshold: "high" has to be a number or null.',
        "stop schema 4 /relevance/de: Additional properties are not allowed ('extra' was unexpected).",
        "stop schema 5 /relevance/de/fields: [] should be non-empty.",
    ]


def test_a_document_as_it_should_be() -> None:
    good = read(b'{"relevance": {"en": {"threshold": 0.5, "fields": ["title", null]}}}', Format.JSON)
    assert told(validate(good, body(SCHEMA))) == ["ok schema None : schema"]
    assert check_schema(body(SCHEMA)) == ()


@pytest.mark.parametrize("draft", DRAFTS)
def test_each_draft_by_its_own_rules(draft: str) -> None:
    """`exclusiveMinimum` is a flag in draft 4, and a number since draft 6: each is wrong in the other."""
    flag, number = {"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}
    right, wrong = (flag, number) if draft == "4" else (number, flag)
    zero = read(b'{"a": 0}', Format.JSON)
    schema = {"$schema": DRAFTS[draft], "properties": {"a": right}}
    assert [(one.rule, one.pointer) for one in validate(zero, body(schema))] == [("schema", "/a")]
    assert [one.rule for one in validate(read(b'{"a": 0.1}', Format.JSON), body(schema))] == ["schema"]
    assert {one.rule for one in check_schema(body({**schema, "properties": {"a": wrong}}))} == {"schema-invalid"}


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({}, ["look schema-draft None : The schema names no draft ($schema): it is read as draft 2020-12."]),
        ([1], ["stop schema-invalid None : A schema has to be an object, and this is [1]."]),
        (
            {"$schema": DRAFTS["7"], "type": "nope", "properties": 3},
            [
                'stop schema-invalid None : 3 has to be an object (line 4 of the schema).',
                'stop schema-invalid None : "nope" is not valid under any of the given schemas (line 3 of the schema).',
            ],
        ),
        (
            {"$schema": "http://json-schema.org/draft-03/schema#"},
            [
                'stop schema-draft None : The draft "http://json-schema.org/draft-03/schema#" is not known: '
                "drafts 4, 6, 7, 2019-09 and 2020-12 are (line 2 of the schema)."
            ],
        ),
        (
            {"$schema": DRAFTS["4"], "properties": {"a": {"$ref": "#/definitions/no"}}},
            ['stop schema-ref None : The reference "#/definitions/no" names nothing in the schema (line 5 of the schema).'],
        ),
        (
            {"$schema": DRAFTS["7"], "patternProperties": {"([": {}}},
            [
                'stop schema-pattern None : The pattern "([" can\'t be used: '
                "unterminated character set at position 1 (line 1 of the schema)."
            ],
        ),
        ({"$schema": DRAFTS["7"], "properties": {"a": {"$ref": DRAFTS["7"].replace("https", "http") + "#"}}}, []),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_schema(schema: Any, found: list[str]) -> None:
    assert told(check_schema(body(schema))) == [one.replace(" (line 1 of the schema)", "") for one in found]


def test_a_schema_that_is_no_json() -> None:
    findings = check_schema(b'{"type": "object",}')
    assert told(findings) == [
        "stop schema-invalid None : The schema can't be read: "
        'JSON has no comma after the last one, and there is "}" (line 1, column 19).'
    ]  # fmt: skip
    assert validate(models(), b'{"type": "object",}') == findings


def test_of_a_document_that_can_t_be_read_nothing_is_said() -> None:
    assert validate(read(b"{", Format.JSON), body(SCHEMA)) == ()


def test_remote_references_are_named_and_never_fetched() -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/schema.json"
        schema = {"$schema": DRAFTS["7"], "properties": {"relevance": {"$ref": address}}, "additionalProperties": {"$ref": "other.json#/a"}}
        for findings in (check_schema(body(schema)), validate(models(), body(schema))):
            assert [one.rule for one in findings] == ["schema-remote", "schema-remote"]
            assert address in findings[0].text + findings[1].text
            assert "nothing is fetched" in findings[0].text
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == []


def test_a_pathological_regular_expression_is_ended() -> None:
    document = read(json.dumps({"a": "a" * 50 + "!"}).encode(), Format.JSON)
    before = children()
    began = time.monotonic()
    findings = validate(document, body({"properties": {"a": {"pattern": "^(a+)+$"}}}), seconds=0.5)
    assert time.monotonic() - began < 20
    assert told(findings) == [
        "stop schema-time None : The check against the schema took longer than 500 ms, and was ended: "
        "is there a regular expression in it that never comes to an end?"
    ]
    assert children() == before


def test_a_schema_that_needs_all_the_memory_is_ended() -> None:
    """Each `anyOf` keeps what was wrong with each of its schemas: thirty times thirty times thirty for each value."""
    defined = {
        "a": {"anyOf": [{"$ref": "#/$defs/b"}] * 30},
        "b": {"anyOf": [{"$ref": "#/$defs/c"}] * 30},
        "c": {"anyOf": [{"type": "null"}] * 30},
    }
    document = read(json.dumps([["x"] * 20] * 20).encode(), Format.JSON)
    findings = validate(
        document, body({"$defs": defined, "anyOf": [{"items": {"items": {"$ref": "#/$defs/a"}}}]}), seconds=60, memory=80_000_000
    )
    assert len(findings) == 1
    assert findings[0].severity is Severity.STOP
    assert findings[0].rule in ("schema-memory", "schema-check")


def test_a_schema_without_end() -> None:
    assert [one.rule for one in validate(models(), body({"$ref": "#"}))] == ["schema-endless"]


def test_at_most_20_findings() -> None:
    document = read(json.dumps(["x"] * 100).encode(), Format.JSON)
    findings = validate(document, body({"items": {"type": "number"}}))
    assert [one.pointer for one in findings] == [f"/{index}" for index in range(20)]
    assert findings[-1].text == '"x" has to be a number. There are more.'
    assert "There are more." not in findings[0].text


def test_foreign_text_is_made_harmless_and_short() -> None:
    document = read(json.dumps({"a": "\x1b[31m" + "x" * 5000}).encode(), Format.JSON)
    (finding,) = validate(document, body({"properties": {"a": {"pattern": "^y"}}}))
    assert "\x1b" not in finding.text
    assert finding.text.startswith('"\\u001b[31mxxx')
    assert finding.text.endswith("… does not match '^y'.")


def test_neither_the_folder_nor_the_environment_brings_code_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found there first would otherwise be imported in the place of the real one."""
    (tmp_path / "jsonschema.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    (tmp_path / "resource.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "resource.py"))
    assert len(validate(models(), body(SCHEMA))) == 3


def test_a_check_that_breaks_off_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    (finding,) = validate(models(), body(SCHEMA))
    assert told((finding,)) == ["stop schema-check None : The schema can't be checked: No such file or directory."]
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\ncat > /dev/null\necho '\x1b[31mno way' >&2\nexit 7\n", encoding="utf-8")
    broken.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(broken))
    (finding,) = validate(models(), body(SCHEMA))
    assert finding.text == "The check against the schema broke off (\\x1b[31mno way): nothing is known."


def children() -> set[str]:
    """The processes that are ours."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(entry.parent.name)
    return found
