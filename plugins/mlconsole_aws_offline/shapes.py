"""Requests held against botocore's own service models, as strictly as the real service: unknown keys, types, patterns, bounds, choices."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from mlconsole_aws_offline.replies import AwsError


def checked(service: str, operation: str, body: Any) -> dict[str, Any]:
    """The body of a request, if it is one.

    Raises:
        AwsError: a ValidationException that names the first members that are wrong.
    """
    shape = _model(service).operation_model(operation).input_shape
    problems = list(_problems(shape, body, "")) if shape is not None else []
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
        raise AwsError("ValidationException", f"{count}: {'; '.join(problems[:5])}")
    found: dict[str, Any] = body
    return found


def output_problems(service: str, operation: str, body: Any) -> list[str]:
    """What in an answer is not as the model has it, for our own tests."""
    shape = _model(service).operation_model(operation).output_shape
    return list(_problems(shape, body, "")) if shape is not None else []


def knows(service: str, operation: str) -> bool:
    """Whether there is such an operation."""
    return operation in _model(service).operation_names


@functools.cache
def _model(service: str) -> Any:
    import botocore.session

    return botocore.session.Session().get_service_model(service)


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            yield _wrong(path, value, "an object")
            return
        for name in shape.metadata.get("required", ()):
            if name not in value:
                yield f"Value null at '{_member(path, name)}' failed to satisfy constraint: Member must not be null"
        for name, inner in value.items():
            if name not in shape.members:
                yield f"Unknown member '{_member(path, name)}'"
            elif inner is not None:
                yield from _problems(shape.members[name], inner, _member(path, name))
    elif kind == "list":
        if not isinstance(value, list):
            yield _wrong(path, value, "a list")
            return
        yield from _bounds(shape, len(value), value, path, "length")
        for index, inner in enumerate(value, start=1):
            yield from _problems(shape.member, inner, f"{path}.{index}.member")
    elif kind == "map":
        if not isinstance(value, dict):
            yield _wrong(path, value, "a map")
            return
        yield from _bounds(shape, len(value), value, path, "length")
        for name, inner in value.items():
            yield from _problems(shape.key, name, f"{path}.key")
            yield from _problems(shape.value, inner, f"{path}.{name}")
    elif kind == "string":
        yield from _text(shape, value, path)
    elif kind == "boolean":
        if not isinstance(value, bool):
            yield _wrong(path, value, "a boolean")
    elif kind in ("integer", "long", "float", "double"):
        whole = kind in ("integer", "long")
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            yield _wrong(path, value, "a whole number" if whole else "a number")
        else:
            yield from _bounds(shape, value, value, path, "value")


def _text(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield _wrong(path, value, "a string")
        return
    yield from _bounds(shape, len(value), value, path, "length")
    choices = shape.metadata.get("enum")
    if choices and value not in choices:
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must satisfy enum value set"
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must satisfy regular expression pattern: {pattern}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:  # Java's classes (\p{L}), which Python does not have.
        return True


def _bounds(shape: Any, size: float, value: Any, path: str, what: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must have {what} greater than or equal to {low}"
    if high is not None and size > high:
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must have {what} less than or equal to {high}"


def _wrong(path: str, value: Any, wanted: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {wanted} is wanted"


def _member(path: str, name: str) -> str:
    told = name[:1].lower() + name[1:]
    return f"{path}.{told}" if path else told
