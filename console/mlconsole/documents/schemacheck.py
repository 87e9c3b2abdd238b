"""The process in which a document is held against its JSON Schema: started by `schemas`, alone, with little time and memory.

A schema is foreign: one regular expression in it can take for ever, one reference can name any address. So this file is run by its path,
imports nothing of ours, reads one request from standard input, writes one answer to standard output, and is killed when it takes too long.
Nothing is ever fetched: what is not in the schema itself, or one of the official meta-schemas, is not there.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

MOST = 20
"""Findings, at most."""

_SHOWN = 60
_LONGEST = 240
_DRAFT = re.compile(r"https?://json-schema\.org/(?:draft-0?([0-9])|draft/(20[0-9]{2}-[0-9]{2}))/schema#?")
_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}

Found = dict[str, Any]
"""One finding: `rule`, `text`, and the `path` in the document or, `about` being `schema`, in the schema."""


def answer(request: Mapping[str, Any]) -> list[Found]:
    """What is wrong with the schema, or else with the value, if the request has one."""
    schema = request["schema"]
    draft = _draft(schema)
    if isinstance(draft, dict):
        return [draft]
    wrong = [*_first(_in_schema(draft, schema))]
    if wrong or "value" not in request:
        return wrong
    return [*_first(_in_value(draft, schema, request["value"]))]


def _first(found: Iterator[Found]) -> Iterator[Found]:
    for count, one in enumerate(found):
        if count == MOST - 1 and next(found, None) is not None:
            yield {**one, "text": f"{one['text']} There are more."}
            return
        yield one
        if count == MOST - 1:
            return


def _draft(schema: Any) -> Any:
    """The validator of the schema's draft, or what is wrong with what it says of it."""
    from jsonschema import validators

    known = {
        "4": validators.Draft4Validator,
        "6": validators.Draft6Validator,
        "7": validators.Draft7Validator,
        "2019-09": validators.Draft201909Validator,
        "2020-12": validators.Draft202012Validator,
    }
    if not isinstance(schema, bool | dict):
        return _of_schema("schema-invalid", f"A schema has to be an object, and this is {_shown(schema)}.")
    named = schema.get("$schema") if isinstance(schema, dict) else None
    if named is None:
        return known["2020-12"]
    found = _DRAFT.fullmatch(named) if isinstance(named, str) else None
    draft = known.get(found[1] or found[2]) if found else None
    if draft is None:
        told = f"The draft {_shown(named)} is not known: drafts 4, 6, 7, 2019-09 and 2020-12 are."
        return _of_schema("schema-draft", told, ["$schema"])
    return draft


def _in_schema(draft: Any, schema: Any) -> Iterator[Found]:
    """What is wrong with the schema itself: against its draft's own schema, in its references, in its regular expressions."""
    from jsonschema_specifications import REGISTRY

    valid = True
    for error in draft(draft.META_SCHEMA, registry=REGISTRY).iter_errors(schema):
        valid = False
        yield _of_schema("schema-invalid", _told(error), list(error.absolute_path))
    if valid:
        from referencing.jsonschema import specification_with

        root = specification_with(draft.ID_OF(draft.META_SCHEMA)).create_resource(schema)
        yield from _parts(root, REGISTRY.resolver_with_root(root), dict(_paths(schema, [])))


def _paths(value: Any, path: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Where each object of the schema stands, by its identity: a part of a schema does not know."""
    if isinstance(value, dict):
        yield id(value), path
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(inner, [*path, str(name)])


def _parts(part: Any, resolver: Any, paths: Mapping[int, list[str]]) -> Iterator[Found]:
    from referencing.exceptions import Unresolvable

    contents = part.contents
    path = paths.get(id(contents), [])
    if isinstance(contents, dict):
        for word in ("$ref", "$dynamicRef", "$recursiveRef"):
            reference = contents.get(word)
            if not isinstance(reference, str):
                continue
            try:
                resolver.lookup(reference)
            except Unresolvable:
                if reference.startswith("#"):
                    yield _of_schema("schema-ref", f"The reference {_shown(reference)} names nothing in the schema.", [*path, word])
                else:
                    told = f"The reference {_shown(reference)} leads outside the schema, and nothing is fetched"
                    yield _of_schema("schema-remote", f"{told}: write what it names into the schema.", [*path, word])
        patterns = contents.get("patternProperties")
        for pattern in [contents.get("pattern"), *(patterns if isinstance(patterns, dict) else ())]:
            if isinstance(pattern, str):
                try:
                    re.compile(pattern)
                except re.error as error:
                    yield _of_schema("schema-pattern", f"The pattern {_shown(pattern)} can't be used: {error}.", path)
    for inner in part.subresources():
        yield from _parts(inner, resolver.in_subresource(inner), paths)


def _in_value(draft: Any, schema: Any, value: Any) -> Iterator[Found]:
    from jsonschema.exceptions import best_match
    from jsonschema_specifications import REGISTRY

    for error in draft(schema, registry=REGISTRY).iter_errors(value):
        # Of `anyOf` and its like, what was most nearly right says more than "not valid under any of the given schemas".
        nearest = best_match([error]) or error
        yield {"rule": "schema", "text": _told(nearest), "path": [str(part) for part in nearest.absolute_path], "about": "value"}


def _told(error: Any) -> str:
    """What an error says; where its own sentence is in Python's spelling, ours in JSON's."""
    wanted = error.validator_value
    if error.validator == "type":
        types = [wanted] if isinstance(wanted, str) else wanted
        text = f"{_shown(error.instance)} has to be {' or '.join(_WORDS.get(one, str(one)) for one in types)}."
    elif error.validator == "enum" and isinstance(wanted, list):
        text = f"{_shown(error.instance)} is none of {', '.join(_shown(one) for one in wanted[:10])}{', …' if len(wanted) > 10 else ''}."
    elif error.validator == "const":
        text = f"{_shown(error.instance)} has to be {_shown(wanted)}."
    elif error.schema is False or error.validator is None:
        text = f"{_shown(error.instance)} is not allowed here."
    else:
        spelt = repr(error.instance)
        text = f"{error.message}."
        text = _shown(error.instance) + text[len(spelt) :] if text.startswith(spelt) else text
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _of_schema(rule: str, text: str, path: list[Any] | None = None) -> Found:
    return {"rule": rule, "text": text, "path": [str(part) for part in path or ()], "about": "schema"}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _bound(seconds: float, memory: int) -> None:
    """So much memory, so much computing, no files; `seconds` are those of the check, not of Python's own start."""
    limits = ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, int(seconds) + 10), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0))
    for limit, value in limits:
        # macOS knows some of them, and keeps to none.
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))


def main(seconds: float, memory: int) -> int:
    """One request, one answer."""
    _bound(seconds, memory)
    try:
        request = json.loads(sys.stdin.buffer.read())
        import jsonschema_specifications  # noqa: F401  imported before the clock starts: a busy machine takes longer for that than for the work
        from jsonschema import validators  # noqa: F401

        # The signal keeps what it does by default, which is to end the process: a regular expression at work runs no handler.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        found = answer(request)
    except RecursionError:
        found = [_of_schema("schema-endless", "The schema leads back to itself without end.")]
    except MemoryError:
        found = [_of_schema("schema-memory", "The check needed more memory than it may have.")]
    sys.stdout.write(json.dumps({"findings": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2])))
