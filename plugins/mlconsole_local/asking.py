"""Asking an endpoint for a prediction over HTTP, as a consumer does: the request's body and headers, and what the answer says."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any

from mlconsole.core.models import Json
from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import Unavailable
from mlconsole.plugin.roles import Answer, Invocation
from mlconsole_local.routing import SLICE_HEADER, VARIANT_HEADER
from mlconsole_local.state import LOOPBACK

_SECONDS = 20.0
"""Longer than the gateway waits for a model (`routing.TIMEOUT`), so that a slow model is its 504 and not our silence."""


def slice_headers(request: Invocation) -> dict[str, str]:
    """Slices as headers; a value that a header can't carry stays in the body only, where the server reads it all the same."""
    return {f"{SLICE_HEADER}{key}": value for key, value in request.slices.items() if value.isascii() and value.isprintable()}


def infer_path(endpoint: str) -> str:
    """Where an endpoint is asked."""
    return f"/v2/models/{endpoint}/infer"


def infer_body(request: Invocation) -> str:
    """The request as the Open Inference Protocol v2 wants it; an input without a value is left out."""
    inputs = [
        {"name": name, "shape": [1], "datatype": _datatype(value), "data": [value]}
        for name, value in request.inputs.items()
        if value is not None
    ]
    return json.dumps({"inputs": inputs}, ensure_ascii=False)


def ask(port: int, endpoint: str, request: Invocation, headers: Mapping[str, str], *, answered_by: str | None = None) -> Answer:
    """Send one request to a loopback port; `answered_by` is who is asked, where the answer does not say it.

    Raises:
        Unavailable: nobody answered.
    """
    began = time.perf_counter()
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_SECONDS)
    try:
        # Half a surrogate pair, which UTF-8 can't carry, becomes the escape that JSON has for it.
        body = infer_body(request).encode("utf-8", "backslashreplace")
        connection.request("POST", infer_path(endpoint), body, {"content-type": "application/json", **headers})
        response = connection.getresponse()
        raw = response.read()
    except (OSError, http.client.HTTPException) as error:
        who = answered_by or endpoint
        raise Unavailable(f"{who} does not answer on {LOOPBACK}:{port}: {error or type(error).__name__}.") from error
    finally:
        connection.close()
    milliseconds = (time.perf_counter() - began) * 1000
    told, content = {name.lower(): value for name, value in response.getheaders()}, _json(raw)
    return Answer(
        status=response.status,
        outputs=_outputs(content) if response.status == 200 else {},
        variant=told.get(VARIANT_HEADER, answered_by),
        milliseconds=milliseconds,
        request_id=told.get("x-request-id"),
        error="" if response.status == 200 else _error(content, raw),
    )


def _datatype(value: Json) -> str:
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    return "FP64" if isinstance(value, float) else "BYTES"


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _outputs(body: Any) -> dict[str, Json]:
    """One value for each output: one row was asked."""
    found: dict[str, Json] = {}
    for output in body.get("outputs", ()) if isinstance(body, dict) else ():
        data = output.get("data")
        found[str(output.get("name"))] = data[0] if isinstance(data, list) and len(data) == 1 else data
    return found


def _error(body: Any, raw: bytes) -> str:
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        return str(body["error"])
    return neutralise(raw[:200].decode("utf-8", "replace"))
