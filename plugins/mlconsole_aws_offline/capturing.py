"""Data capture: JSON lines in S3, under the keys and in the form of the real service."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from mlconsole_aws_offline.records import Json
from mlconsole_aws_offline.state import State
from mlconsole_aws_offline.store import Store


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    endpoint: str
    variant: str
    at: float
    sent: bytes
    sent_type: str
    got: bytes
    got_type: str
    inference: str = ""
    attributes: str = ""
    event: str = field(default_factory=lambda: str(uuid.uuid4()))


class Capture:
    """Collects lines for a moment, then writes them as one file for each endpoint, variant and hour."""

    def __init__(self, state: State, store: Store) -> None:
        self._state = state
        self._store = store
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, str], list[str]] = {}
        self._written: deque[tuple[float, str, str]] = deque()
        threading.Thread(target=self._flush_often, daemon=True, name="capture").start()

    def take(self, config: Json | None, exchange: Exchange) -> None:
        """Keep an exchange, if the config says so: sampled, and only the sides that it names."""
        if not config or not config.get("EnableCapture"):
            return
        with self._state.lock:
            if self._state.random.random() * 100 >= int(config["InitialSamplingPercentage"]):
                return
        line = json.dumps(_record(config, exchange), separators=(",", ":"))
        when = datetime.fromtimestamp(exchange.at, UTC)
        place = f"{config['DestinationS3Uri'].rstrip('/')}/{exchange.endpoint}/{exchange.variant}"
        with self._lock:
            self._lines.setdefault((place, when.strftime("%Y/%m/%d/%H")), []).append(line)

    def flush(self) -> None:
        """Write what there is."""
        with self._lock:
            lines, self._lines = self._lines, {}
        for (place, hour), found in lines.items():
            where = urlsplit(place)
            name = f"{datetime.now(UTC):%M-%S-%f}"[:9] + f"-{uuid.uuid4()}.jsonl"
            key = f"{where.path.lstrip('/')}/{hour}/{name}"
            if self._store.write(where.netloc, key, ("\n".join(found) + "\n").encode()):
                self._written.append((time.monotonic(), where.netloc, key))
        keep = self._state.settings.capture_keep_seconds
        while keep is not None and self._written and time.monotonic() - self._written[0][0] > keep:
            self._store.delete(*self._written.popleft()[1:])

    def forget(self) -> None:
        """As new."""
        with self._lock:
            self._lines = {}
            self._written.clear()

    def _flush_often(self) -> None:
        while True:
            time.sleep(self._state.settings.capture_seconds)
            self.flush()


def _record(config: Json, exchange: Exchange) -> Json:
    modes = {one["CaptureMode"] for one in config["CaptureOptions"]}
    data: Json = {}
    if modes & {"Input", "InputAndOutput"}:
        data["endpointInput"] = _side("INPUT", exchange.sent, exchange.sent_type, config)
    if modes & {"Output", "InputAndOutput"}:
        data["endpointOutput"] = _side("OUTPUT", exchange.got, exchange.got_type, config)
    told: Json = {"eventId": exchange.event, "inferenceTime": datetime.fromtimestamp(exchange.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    if exchange.inference:
        told["inferenceId"] = exchange.inference
    if exchange.attributes:
        told["customAttributes"] = [exchange.attributes]
    return {"captureData": data, "eventMetadata": told, "eventVersion": "0"}


def _side(mode: str, body: bytes, content_type: str, config: Json) -> Json:
    """Only content types that the config names are written as they are; all else is base64."""
    named = config.get("CaptureContentTypeHeader") or {}
    plain = content_type.partition(";")[0].strip()
    encoding = "BASE64"
    if plain in (named.get("JsonContentTypes") or ()):
        encoding = "JSON"
    elif plain in (named.get("CsvContentTypes") or ()):
        encoding = "CSV"
    text = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode("utf-8", "replace")
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}
