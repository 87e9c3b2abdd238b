"""What is sent back, and how each of AWS's protocols says an error."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def json(value: Any, status: int = 200) -> Reply:
        """A value as the JSON protocols have it: moments as seconds."""
        return Reply(status, json.dumps(value, default=_plain).encode(), {"Content-Type": "application/x-amz-json-1.1", **_identity()})


class AwsError(Exception):
    """A refusal, as the service says it."""

    def __init__(self, code: str, message: str, status: int = 400, **more: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.more = code, message, status, more


def error(protocol: str, status: int, code: str, message: str, **more: Any) -> Reply:
    """A refusal in a protocol: `json`, `rest-json`, `query` or `s3`."""
    if protocol == "query":
        told = f"<Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        return Reply(status, f"<ErrorResponse><Error>{told}</Error></ErrorResponse>".encode(), {"Content-Type": "text/xml", **_identity()})
    if protocol == "s3":
        code = {"ThrottlingException": "SlowDown", "ExpiredTokenException": "ExpiredToken", "InternalFailure": "InternalError"}.get(
            code, code
        )
        text = f"<?xml version='1.0'?><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        return Reply(503 if code == "SlowDown" else status, text.encode(), {"Content-Type": "application/xml", **_identity()})
    body = {"__type": code, "message": message, "Message": message, **more}
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code, **_identity()})


def _identity() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    raise TypeError(f"{type(value).__name__} is not plain")
