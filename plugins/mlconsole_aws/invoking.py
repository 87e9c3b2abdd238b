"""Asking an endpoint for a prediction, as a consumer, a variant by its name, or as the console's own probe."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from mlconsole.core.models import Json
from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import BackendError, NotFound, Unavailable
from mlconsole.plugin.roles import Answer, Invocation
from mlconsole_aws.clients import Clients
from mlconsole_aws.marks import PINNED, PROBE

_JSON = "application/json"
_ATTRIBUTES = 1024
_MISSING = re.compile(r"not found|could not find|does not exist|no such|invalid.*variant|variant.*not", re.IGNORECASE)


def ask(
    clients: Clients, native: str, request: Invocation, target: str | None, *, answered_by: str | None, probe: bool, pinned: bool
) -> Answer:
    """Send one request to a SageMaker endpoint.

    Args:
        target: the production variant that is asked, whatever its weight.
        answered_by: who answers, where the endpoint has only one variant of ours.
        pinned: somebody chose who answers, so that it tells nothing of the split.

    Raises:
        NotFound: no such endpoint or variant.
        Unavailable: nobody answered.
    """
    identity = f"{PROBE if probe else PINNED if pinned else ''}{uuid.uuid4().hex}"
    parameters: dict[str, Any] = {"ContentType": _JSON, "Accept": _JSON, "InferenceId": identity, "Body": _body(request)}
    if target is not None:
        parameters["TargetVariant"] = target
    attributes = _attributes(request)
    if attributes:
        parameters["CustomAttributes"] = attributes
    began = time.perf_counter()
    try:
        found = clients.call("sagemaker-runtime", "invoke_endpoint", EndpointName=native, **parameters)
        raw = found["Body"].read()
    except BackendError as error:
        return _refused(error, answered_by or target, (time.perf_counter() - began) * 1000, identity)
    milliseconds = (time.perf_counter() - began) * 1000
    variant = answered_by or found.get("InvokedProductionVariant")
    content = _parsed(raw)
    return Answer(200, _outputs(content), variant, milliseconds, identity)


def _refused(error: BackendError, variant: str | None, milliseconds: float, identity: str) -> Answer:
    """A model that refuses has answered; all else is told as what it is."""
    response: Mapping[str, Any] = getattr(error.__cause__, "response", None) or {}
    code, message = str(response.get("Error", {}).get("Code", "")), str(response.get("Error", {}).get("Message", ""))
    if code == "ModelError":
        status = int(response.get("OriginalStatusCode") or 500)
        said = _parsed(str(response.get("OriginalMessage") or message).encode())
        told = said.get("error") if isinstance(said, dict) else None
        text = neutralise(str(told or response.get("OriginalMessage") or message)[:500])
        return Answer(status, {}, variant, milliseconds, identity, text)
    if code == "ModelNotReadyException":
        raise Unavailable(f"The model is not ready: {message}.", next="It is asked again in a moment.") from error
    if code in ("ValidationError", "ValidationException") and _MISSING.search(message):
        raise NotFound(f"SageMaker knows nothing of that: {message}", next="mlconsole endpoints list") from error
    raise error


def _body(request: Invocation) -> bytes:
    """The request as the Open Inference Protocol v2 wants it; an input without a value is left out."""
    inputs = [
        {"name": name, "shape": [1], "datatype": _datatype(value), "data": [value]}
        for name, value in request.inputs.items()
        if value is not None
    ]
    return json.dumps({"inputs": inputs}, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _attributes(request: Invocation) -> str:
    """Slices, for those that no input says: what a header can't carry is left out."""
    pairs = [f"{key}={value}" for key, value in request.slices.items() if f"{key}{value}".isascii() and f"{key}{value}".isprintable()]
    told = ",".join(pair for pair in pairs if not re.search(r"[,;]", pair))
    return told if len(told) <= _ATTRIBUTES else ""


def _datatype(value: Json) -> str:
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    return "FP64" if isinstance(value, float) else "BYTES"


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _outputs(body: Any) -> dict[str, Json]:
    """One value for each output, one row was asked: as the protocol says it, or an object, or a bare value."""
    if isinstance(body, dict) and isinstance(body.get("outputs"), list):
        found: dict[str, Json] = {}
        for output in body["outputs"]:
            if isinstance(output, dict):
                found[str(output.get("name"))] = _single(output.get("data"))
        return found
    if isinstance(body, dict):
        inner = body.get("predictions")
        return {"output": _single(inner)} if inner is not None else {str(name): _single(value) for name, value in body.items()}
    return {} if body is None else {"output": _single(body)}


def _single(value: Any) -> Json:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
