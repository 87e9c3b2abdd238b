"""Captured data as SageMaker writes them to S3, and who reads them all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from mlconsole.plugin.roles import Observation, Predictions

BUCKET, PREFIX = "captured", "models/live"
URI = f"s3://{BUCKET}/{PREFIX}"


def key(stream: str, time: datetime, number: int = 0) -> str:
    """`models/live/relevance/v6/2026/11/20/15/04-05-000-….jsonl`."""
    return f"{PREFIX}/{stream}/{time:%Y/%m/%d/%H/%M-%S}-{time.microsecond // 1000:03}-{UUID(int=number)}.jsonl"


def line(identity: str, time: datetime, *, language: str = "de", score: float = 0.5, **event: Any) -> str:
    """One prediction."""

    def part(mode: str, data: Any) -> dict[str, Any]:
        return {"observedContentType": "application/json", "mode": mode, "data": json.dumps(data), "encoding": "JSON"}

    captured = {"endpointInput": part("INPUT", {"language": language, "n": 1}), "endpointOutput": part("OUTPUT", {"score": score})}
    metadata = {"eventId": identity, "inferenceTime": f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", **event}
    return json.dumps({"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"}) + "\n"


def put(s3: Any, name: str, *lines: str) -> None:
    """A file, whole, as SageMaker writes it."""
    s3.put_object(Bucket=BUCKET, Key=name, Body="".join(lines).encode())


def all_of(reader: Predictions, cursor: str, limit: int = 10_000, pages: int = 200) -> tuple[list[Observation], str]:
    """Everything behind the cursor just now, page by page."""
    found: list[Observation] = []
    for _ in range(pages):
        page = reader.read(cursor, limit)
        found += page.observations
        cursor = page.cursor
        if page.at_end:
            return found, cursor
    raise AssertionError("it does not come to an end")


def ids(found: Sequence[Observation]) -> list[str]:
    return sorted(one.request_id for one in found)
