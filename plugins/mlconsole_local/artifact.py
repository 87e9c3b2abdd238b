"""An artifact as a server reads it: its bytes, their digest, and its `serving.json` (the format is in `docs/artifact-format.md`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_KINDS = ("none", "join", "redis_vectors")


class BadArtifact(Exception):
    """The artifact is not what was registered, or can't be served. Its text is one sentence for people."""


@dataclass(frozen=True)
class Column:
    """One named input or output, with its datatype in the words of the Open Inference Protocol."""

    name: str
    datatype: str
    category: bool = False
    """Its texts are a short enumeration, so that the prediction log may show them as they are."""


@dataclass(frozen=True)
class Preprocess:
    """How a request's inputs become the graph's: `none`, `join` or `redis_vectors`."""

    kind: str = "none"
    fields: tuple[str, ...] = ()
    to: str = ""
    connection: str = ""
    prefix: str = ""
    dimensions: int = 0


@dataclass(frozen=True)
class Serving:
    """What `serving.json` says. Empty `inputs` and `outputs`: the graph's own are meant."""

    inputs: tuple[Column, ...] = ()
    outputs: tuple[Column, ...] = ()
    required: Mapping[str, tuple[str, ...]] | None = None
    preprocess: Preprocess = field(default_factory=Preprocess)
    score: str = ""


@dataclass(frozen=True)
class Loaded:
    """An artifact's bytes in memory: the very bytes whose digest was taken, whatever happens to the files meanwhile."""

    digest: str
    graph: bytes
    serving: Serving


def load(path: Path) -> Loaded:
    """Read an artifact, a file or a folder, once: digest and content come from the same bytes.

    Raises:
        BadArtifact: it is not there, or not of the format.
    """
    try:
        if path.is_file():
            graph = path.read_bytes()
            return Loaded(f"sha256:{hashlib.sha256(graph).hexdigest()}", graph, Serving())
        if not path.is_dir():
            raise BadArtifact(f"there is no artifact at {path}")
        digest, content = hashlib.sha256(), dict[str, bytes]()
        for file in sorted(path.rglob("*"), key=lambda found: found.relative_to(path).as_posix()):
            if file.is_file():
                name, data = file.relative_to(path).as_posix(), file.read_bytes()
                digest.update(f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode())
                if name in ("model.onnx", "serving.json"):
                    content[name] = data
    except OSError as error:
        raise BadArtifact(f"the artifact at {path} can't be read: {error.strerror}") from error
    if "model.onnx" not in content:
        raise BadArtifact(f"the artifact at {path} has no model.onnx")
    serving = parse_serving(content["serving.json"]) if "serving.json" in content else Serving()
    return Loaded(f"sha256:{digest.hexdigest()}", content["model.onnx"], serving)


def parse_serving(text: bytes) -> Serving:
    """`serving.json` as a value.

    Raises:
        BadArtifact: not of the format; the sentence names the place.
    """
    try:
        body = json.loads(text)
    except ValueError as error:
        raise BadArtifact(f"serving.json is not JSON: {error}") from error
    if not isinstance(body, dict) or body.get("schema") != 1:
        raise BadArtifact("serving.json is not of schema 1")
    try:
        serving = Serving(
            inputs=_columns(body, "inputs"),
            outputs=_columns(body, "outputs"),
            required=_required(body.get("required")),
            preprocess=_preprocess(body.get("preprocess") or {}),
            score=str(body.get("score") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadArtifact(f"serving.json is not of the format: {type(error).__name__} {error}") from error
    _check(serving)
    return serving


def _columns(body: Mapping[str, Any], key: str) -> tuple[Column, ...]:
    return tuple(Column(str(entry["name"]), str(entry["datatype"]), bool(entry.get("category"))) for entry in body.get(key) or ())


def _required(body: Any) -> Mapping[str, tuple[str, ...]] | None:
    return None if body is None else {str(key): tuple(str(name) for name in names) for key, names in body.items()}


def _preprocess(body: Mapping[str, Any]) -> Preprocess:
    return Preprocess(
        kind=str(body.get("kind", "none")),
        fields=tuple(str(name) for name in body.get("fields") or ()),
        to=str(body.get("to") or ""),
        connection=str(body.get("connection") or ""),
        prefix=str(body.get("prefix") or ""),
        dimensions=int(body.get("dimensions") or 0),
    )


def _check(serving: Serving) -> None:
    step = serving.preprocess
    if step.kind not in _KINDS:
        raise BadArtifact(f'serving.json: preprocess.kind "{step.kind}" is unknown; known: {", ".join(_KINDS)}')
    if step.kind != "none" and (not step.fields or not step.to):
        raise BadArtifact(f"serving.json: preprocess.{'fields' if not step.fields else 'to'} is missing")
    if step.kind == "redis_vectors" and (not step.connection or step.dimensions < 1):
        raise BadArtifact(f"serving.json: preprocess.{'connection' if not step.connection else 'dimensions'} is missing")
    names = {column.name for column in serving.inputs}
    for name in step.fields:
        if names and name not in names:
            raise BadArtifact(f'serving.json: preprocess.fields names "{name}", which is no input')
    for key, wanted in (serving.required or {}).items():
        for name in wanted:
            if names and name not in names:
                raise BadArtifact(f'serving.json: required["{key}"] names "{name}", which is no input')
