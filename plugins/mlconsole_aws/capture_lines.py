"""A line of captured data as an observation. Pure.

Inputs are reduced to numbers, categories, lengths and missing flags, so that no text of a consumer is kept: a text stands there as it is
only where a slice is read from it, or where the version's own profile counts it as a category.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlconsole.core.models import Json, ModelVersion, Signature
from mlconsole.plugin.roles import Observation
from mlconsole_aws.capture_bodies import Columns, columns_of, text_of

_NOTHING = Signature((), ())
_LONGEST = 64
"""Characters of a category or a label that are kept."""
_WIDE = 16
_NOT_MEASURED = math.nan
"""Captured data tell nothing of how long an answer took."""


class Garbage(ValueError):
    """A line that tells of no prediction."""


@dataclass(frozen=True)
class Stream:
    """Whose lines these are: the files below `ENDPOINT/VARIANT/`, and what that is here."""

    endpoint: str
    variant: str
    version: ModelVersion | None = None
    """What runs there, as far as it is registered: its signature says where slices and the score are."""
    shadow: bool = False
    pinned: bool = False
    """Applications ask for this variant by its name: nothing splits requests."""
    probes: str = "\0"
    """How the inference ids of our own probes begin."""
    chosen: str = "\0"
    """How those begin of requests that we made to a variant by its name."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.version.signature if self.version is not None else _NOTHING


def observed(raw: bytes, stream: Stream, latest: datetime) -> Observation:
    """What a line tells.

    Raises:
        Garbage: it is no captured prediction, or says that it was made later than `latest`.
    """
    try:
        line = json.loads(raw)
        captured, event = line["captureData"], line["eventMetadata"]
        asked, answered = captured.get("endpointInput") or {}, captured.get("endpointOutput") or {}
        moment = datetime.fromisoformat(event["inferenceTime"])
        request, answer = text_of(asked), text_of(answered)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Garbage(str(error)) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment > latest or (request is None and answer is None):
        raise Garbage("no prediction, or one of a time that has not come")
    signature = stream.signature
    inputs = columns_of(request, _kind(asked), signature.inputs)
    outputs = columns_of(answer, _kind(answered), signature.outputs)
    output = {name: _first(values) for name, values in (outputs or {}).items()} or None
    identity = str(event.get("inferenceId") or "")
    probe = identity.startswith(stream.probes)
    return Observation(
        endpoint=stream.endpoint,
        variant=stream.variant,
        request_id=identity or str(event.get("eventId") or ""),
        time=moment,
        status=200,
        milliseconds=_NOT_MEASURED,
        shadow=stream.shadow or "shadow" in str(event.get("invocationSource") or "").casefold(),
        pinned=stream.pinned or identity.startswith(stream.chosen),
        probe=probe,
        slices=_slices(signature, inputs or {}, event.get("customAttributes")),
        score=_score(signature, output),
        output=output,
        input_hash=_hash(inputs, request),
        fields=_fields(stream.version, inputs) if inputs is not None else {},
    )


def _kind(part: Any) -> str:
    """The content type; one that nobody told is what the encoding says."""
    if not isinstance(part, Mapping):
        return ""
    return str(part.get("observedContentType") or part.get("encoding") or "").casefold()


def _first(values: Sequence[Any]) -> Json:
    """The first row's value; one request is one observation, however many rows it brings."""
    value = values[0] if values else None
    if isinstance(value, list):
        return [_finite(one) for one in value[:_WIDE]]
    return _finite(value)


def _finite(value: Any) -> Json:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _score(signature: Signature, output: Mapping[str, Json] | None) -> float | None:
    """The output that decides: the one that the signature names, else `score`, else the only one; of several columns the last."""
    if not output:
        return None
    if signature.score is not None:
        value = output.get(signature.score)
    elif "score" in output:
        value = output["score"]
    else:
        value = next(iter(output.values())) if len(output) == 1 else None
    if isinstance(value, list):
        value = value[-1] if value else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _hash(inputs: Columns | None, request: str | bytes | None) -> str | None:
    """Equal inputs are told from equal outputs by it; it does not depend on their order. A body in no known form counts as it is."""
    if inputs is None:
        if request is None:
            return None
        body = request if isinstance(request, bytes) else request.encode("utf-8", "backslashreplace")
    else:
        told = json.dumps(sorted(inputs.items()), ensure_ascii=False, separators=(",", ":"), default=str)
        body = told.encode("utf-8", "backslashreplace")
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def _slices(signature: Signature, inputs: Columns, attributes: Any) -> dict[str, str]:
    """Labels by the signature's paths; one that the inputs do not have may be a custom attribute `KEY=VALUE` of the request."""
    told = dict(_pairs(attributes))
    found = {}
    for one in signature.slices:
        value = _at(inputs, one.path)
        if value is None:
            value = told.get(one.key)
        if value is not None and value != "":
            found[one.key] = (value if isinstance(value, str) else json.dumps(value))[:_LONGEST]
    return found


def _at(inputs: Columns, pointer: str) -> Any:
    """The first row's value of the input that a JSON pointer names; what follows goes inside of it, or names another row."""
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    values = inputs.get(tokens[0]) if tokens else None
    if not values:
        return None
    rest = tokens[1:]
    if rest and rest[0].isdecimal() and not isinstance(values[0], Mapping | list):
        place = int(rest[0])
        return values[place] if place < len(values) and len(rest) == 1 else None
    value = values[0]
    for token in rest:
        if isinstance(value, Mapping):
            value = value.get(token)
        elif isinstance(value, list) and token.isdecimal() and int(token) < len(value):
            value = value[int(token)]
        else:
            return None
    return None if isinstance(value, Mapping | list) else value


def _pairs(attributes: Any) -> list[tuple[str, str]]:
    texts = attributes if isinstance(attributes, list) else [attributes]
    pairs = (pair.partition("=") for text in texts if isinstance(text, str) for pair in text.replace(";", ",").split(","))
    return [(key.strip(), value.strip()) for key, _, value in pairs if key.strip() and value.strip()]


def _fields(version: ModelVersion | None, inputs: Columns) -> dict[str, Json]:
    if version is None:
        return {name: _reduced(values[0] if values else None, is_category=False) for name, values in inputs.items()}
    categories = _categories(version)
    return {one.name: _reduced((inputs.get(one.name) or [None])[0], is_category=one.name in categories) for one in version.signature.inputs}


def _categories(version: ModelVersion) -> set[str]:
    """The inputs whose values may be shown: those that slices are read from, and those that the version's profile counts by value."""
    found = {one.path[1:].split("/")[0].replace("~1", "/").replace("~0", "~") for one in version.signature.slices}
    profile = version.baseline.get("fields")
    if isinstance(profile, Mapping):
        found |= {name for name, counts in profile.items() if isinstance(counts, Mapping) and any(token[:2] == "c:" for token in counts)}
    return found


def _reduced(value: Any, *, is_category: bool) -> Json:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return {"missing": True}
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:_LONGEST] if is_category else {"length": len(value)}
    return {"length": len(value)} if isinstance(value, list | Mapping) else {"missing": True}
