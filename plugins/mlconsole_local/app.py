"""A model server's HTTP side: the Open Inference Protocol v2 as a plain ASGI application, and the prediction log's lines."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mlconsole_local.model import Model, ModelFailed, Prediction
from mlconsole_local.predlog import PredictionLog, Reducer, input_hash
from mlconsole_local.preprocess import NoConnection
from mlconsole_local.protocol import BadRequest, Request, encoded, reply

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_MAX_BODY = 8 << 20
_MAX_IN_FLIGHT = 256
_HUNG_UP = 499


@dataclass(frozen=True)
class Who:
    """Who this server is."""

    endpoint: str
    variant: str
    model: str
    version: str
    digest: str


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    pass


class _GaveUp(Exception):
    """The caller hung up while its request still waited for the model."""


class App:
    """One variant's server."""

    def __init__(self, who: Who, model: Model, log: PredictionLog, slices: Mapping[str, str], ready: Callable[[], None]) -> None:
        """`slices`: slice key → JSON pointer into the named inputs, such as `/language`. `ready` is called when it first is."""
        self._who = who
        self._model = model
        self._log = log
        self._slices = {key: _tokens(pointer) for key, pointer in slices.items()}
        self._reducer = Reducer(model.inputs.values(), {tokens[0] for tokens in self._slices.values() if tokens})
        # A slow model or a Redis that hangs must not keep the server from saying how it is.
        self._workers = 4 if model.waits else 1
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="model")
        self._pinger = ThreadPoolExecutor(1, thread_name_prefix="ping")
        self._ping: asyncio.Future[None] | None = None
        self._first_ready: Callable[[], None] | None = ready
        self._in_flight = 0
        self._marks = [
            (b"content-type", b"application/json"),
            (b"x-mlconsole-variant", who.variant.encode()),
            (b"x-mlconsole-digest", who.digest.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        try:
            status, body = await self._answer(scope, receive)
        except _Gone:
            return
        headers = [*self._marks, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})

    def close(self) -> None:
        """Drop what still waits for the model: its callers have been told, or are gone."""
        for pool in (self._pool, self._pinger):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        path, method = scope["path"], scope["method"]
        parts = path.strip("/").split("/")
        if parts[:2] == ["v2", "models"] and len(parts) >= 3 and parts[2] in (self._who.endpoint, self._who.model):
            rest = parts[3:]
            if rest[:1] == ["versions"] and rest[1:2] == [self._who.version]:
                rest = rest[2:]
            if rest == ["infer"]:
                return await self._infer(scope, receive) if method == "POST" else _error(405, "POST is wanted here")
            if not rest:
                return (200, encoded(self._metadata())) if method in ("GET", "HEAD") else _error(405, "GET is wanted here")
            if rest == ["ready"]:
                return await self._ready()
        if path == "/v2/health/live":
            return 200, encoded({"live": True})
        if path == "/v2/health/ready":
            return await self._ready()
        if path in ("/v2", "/v2/"):
            return 200, encoded({"name": "mlconsole-local", "version": "1", "extensions": []})
        return _error(404, f"there is nothing here; {self._who.endpoint} is served at /v2/models/{self._who.endpoint}")

    def _metadata(self) -> dict[str, Any]:
        return {
            "name": self._who.endpoint,
            "versions": [self._who.version],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": column.name, "datatype": column.datatype, "shape": [-1, 1]} for column in self._model.inputs.values()],
            "outputs": [{"name": column.name, "datatype": column.datatype, "shape": [-1, 1]} for column in self._model.outputs],
            "mlconsole": {"model": self._who.model, "variant": self._who.variant, "digest": self._who.digest, "score": self._model.score},
        }

    async def _ready(self) -> tuple[int, bytes]:
        if self._ping is None or self._ping.done():  # However many ask at once: one look is an answer for all of them.
            self._ping = asyncio.get_running_loop().run_in_executor(self._pinger, self._model.ping)
        try:
            await asyncio.shield(self._ping)
        except NoConnection as error:
            return _error(503, str(error))
        if self._first_ready is not None:
            self._first_ready()
            self._first_ready = None
        return 200, encoded({"ready": True, "name": self._who.endpoint, "digest": self._who.digest})

    async def _infer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        started, now = time.perf_counter(), time.time()
        headers = {name.decode("latin-1"): value.decode("utf-8", "replace") for name, value in scope["headers"]}
        request: Request | None = None
        prediction: Prediction | None = None
        error = ""
        self._in_flight += 1
        try:
            body = await _body(receive)
            if self._in_flight > _MAX_IN_FLIGHT:
                status, error = 503, f"too many requests at once (more than {_MAX_IN_FLIGHT})"
            else:
                request = self._model.parse(body)
                prediction = await self._predicted(request, receive)
                status = 200
        except BadRequest as problem:
            status, error = 400, str(problem)
        except _TooLarge:
            status, error = 413, f"the body is larger than {_MAX_BODY >> 20} MiB"
        except NoConnection as problem:
            status, error = 503, str(problem)
        except ModelFailed as problem:
            status, error = 500, f"the model failed: {problem}"
        except _Gone:
            raise
        except _GaveUp:
            status, error = _HUNG_UP, "the caller hung up before its turn came"
        except Exception as problem:  # noqa: BLE001  a mistake of ours in one request is that request's failure, and is logged as one
            status, error = 500, f"the server failed: {type(problem).__name__}"
        finally:
            self._in_flight -= 1
        if prediction is not None and request is not None:
            answer = reply(self._who.model, self._who.version, request.identity, prediction.outputs)
        else:
            answer = encoded({"error": error})
        columns = request.columns if request is not None else {}
        self._log.write(
            {
                "time": round(now, 6),
                "request_id": headers.get("x-request-id", "")[:128] or None,
                # Envoy appends this to the host of a copy, and the route sets the host itself: no consumer can pretend to be one.
                "shadow": headers.get("host", "").endswith("-shadow"),
                "probe": "x-mlconsole-probe" in headers,
                "slices": self._slices_of(columns, headers),
                "input_hash": input_hash(columns) if request is not None else None,
                "rows": request.rows if request is not None else 0,
                "fields": self._reducer.fields(columns) if request is not None else {},
                "output": prediction.output if prediction is not None else None,
                "score": prediction.score if prediction is not None else None,
                "latency_ms": round((time.perf_counter() - started) * 1000, 3),
                "status": status,
                "error": error,
            }
        )
        return status, answer

    async def _predicted(self, request: Request, receive: Receive) -> Prediction:
        """Its turn waited for. Who hangs up meanwhile is not computed for: a slow model would work off a queue that nobody waits in."""
        job = self._pool.submit(self._model.predict, request)
        waiting = asyncio.wrap_future(job)
        if self._in_flight > self._workers:
            gone = asyncio.ensure_future(receive())  # The body is read: what comes next is the caller's end.
            try:
                await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
                if gone.done() and job.cancel():
                    raise _GaveUp
            finally:
                gone.cancel()
        return await waiting

    def _slices_of(self, columns: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, str]:
        found = {}
        for key, tokens in self._slices.items():
            value = _at(columns, tokens)
            if value is None:
                value = headers.get(f"x-slice-{key.lower()}")
            if value is not None:
                found[key] = (value if isinstance(value, str) else json.dumps(value))[:64]
        return found


def _tokens(pointer: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _at(columns: Mapping[str, Any], tokens: list[str]) -> Any:
    """The first row's value of the input that a JSON pointer names; a second token may name another row."""
    values = columns.get(tokens[0]) if tokens else None
    if not values:
        return None
    row = int(tokens[1]) if len(tokens) > 1 and tokens[1].isdecimal() else 0
    return values[row] if row < len(values) else None


def _error(status: int, text: str) -> tuple[int, bytes]:
    return status, encoded({"error": text})


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        part = message.get("body", b"")
        size += len(part)
        if size <= _MAX_BODY:
            parts.append(part)
        if not message.get("more_body"):
            break
    if size > _MAX_BODY:
        raise _TooLarge
    return b"".join(parts)
