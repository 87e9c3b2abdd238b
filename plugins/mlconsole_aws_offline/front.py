"""One address for all services: each request goes to moto, to ministack, or to what is ours, and faults can be played on the way."""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

from mlconsole_aws_offline.faults import Faults
from mlconsole_aws_offline.replies import Reply, error

CONTROL, RESET, CALLS, FLUSH, EVENT = (f"/_offline/{name}" for name in ("control", "reset", "calls", "flush", "event"))
_MINISTACK = frozenset({"appconfig", "cloudtrail", "events", "logs", "monitoring", "sns", "sqs"})
_SCOPE = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/aws4_request")
_HOP = frozenset({"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"})


class Front:
    """A WSGI application."""

    def __init__(self, moto: Any, ministack: int, part: Any, region: str) -> None:
        """`part`: our SageMaker part. `ministack`: its port."""
        self._moto = moto
        self._ministack = ministack
        self._part = part
        self.faults = Faults()
        self._region = region
        self._events = ThreadPoolExecutor(1, thread_name_prefix="trail")
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """One request."""
        path = environ["PATH_INFO"]
        if path.startswith("/_offline/"):
            return _send(self._own(path, _body(environ)), start)
        request = Request(environ)
        with self._lock:
            self._calls[request.told] += 1
        if self.faults.delay:
            time.sleep(self.faults.delay)
        refused = self.faults.before(request.service, request.operation)
        if refused is not None:
            return _send(error(request.protocol, *refused), start)
        answer = self._answered(request, environ, start)
        if self.faults.silent_after(request.service, request.operation, request.changes):
            for _ in answer:
                pass
            if self.faults.hang:
                time.sleep(self.faults.hang)
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError("cut after the effect, as asked")
        return answer

    def _answered(self, request: Request, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if request.service == "sagemaker":
            reply = self._part.answer(request)
            if reply is not None:
                if request.changes and reply.status == 200:
                    self._events.submit(self._tell, EVENT, _event(request, self._region))
                return _send(reply, start)
        if request.service in _MINISTACK:
            reply = self._forwarded(request)
            return _send(reply, start)
        found: Iterable[bytes] = self._moto(environ, start)
        return found

    def _forwarded(self, request: Request) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self._ministack, timeout=30)
        try:
            connection.request(request.method, request.target, request.body, dict(request.headers))
            found = connection.getresponse()
            body = found.read()
            return Reply(found.status, body, {name: value for name, value in found.getheaders() if name.lower() not in _HOP})
        except OSError as problem:
            return error(request.protocol, 503, "ServiceUnavailable", f"ministack does not answer: {problem}")
        finally:
            connection.close()

    def _own(self, path: str, body: bytes) -> Reply:
        if path == CONTROL:
            settings = json.loads(body)
            try:
                self.faults.set(settings)
                self._part.control(settings)
            except (TypeError, ValueError) as problem:
                return Reply.json({"error": str(problem)}, 400)
            self._tell(CONTROL, settings)
            return Reply.json({})
        if path == RESET:
            self._part.reset()
            self.faults.set({})
            with self._lock:
                self._calls.clear()
            self._reset_moto()
            self._tell("/_ministack/reset", {})
            self._tell(CONTROL, {})
            return Reply.json({})
        if path == FLUSH:
            self._part.flush()
            return Reply.json({})
        if path == CALLS:
            with self._lock:
                return Reply.json(dict(self._calls))
        return Reply.json({"error": f"nothing is called {path}"}, 404)

    def _reset_moto(self) -> None:
        from moto.moto_api._internal.models import moto_api_backend

        moto_api_backend.reset()

    def _tell(self, path: str, settings: Mapping[str, Any]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._ministack, timeout=30)
        try:
            connection.request("POST", path, json.dumps(settings).encode(), {"Content-Type": "application/json"})
            connection.getresponse().read()
        finally:
            connection.close()


def _event(request: Request, region: str) -> dict[str, Any]:
    """A call as CloudTrail has it."""
    said = json.loads(request.body or b"{}")
    kinds = {
        "EndpointName": "AWS::SageMaker::Endpoint",
        "EndpointConfigName": "AWS::SageMaker::EndpointConfig",
        "ModelName": "AWS::SageMaker::Model",
    }
    return {
        "service": "sagemaker",
        "event_name": request.operation,
        "username": request.key,
        "access_key_id": request.key,
        "resources": [{"ResourceType": kind, "ResourceName": said[name]} for name, kind in kinds.items() if name in said],
        "region": region,
        "request_id": str(uuid.uuid4()),
        "user_agent": request.headers.get("User-Agent", ""),
        "request_params": {name[:1].lower() + name[1:]: value for name, value in said.items()},
        "method": request.method,
    }


class Request:
    """A request, read: whom it is for, which operation, its headers and body."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.method = str(environ["REQUEST_METHOD"])
        self.path = str(environ["PATH_INFO"])
        self.query = str(environ.get("QUERY_STRING", ""))
        raw = str(environ.get("REQUEST_URI") or environ.get("RAW_URI") or "")
        self.target = raw if raw.startswith("/") else self.path + (f"?{self.query}" if self.query else "")
        self.headers = {name[5:].replace("_", "-").title(): str(value) for name, value in environ.items() if name.startswith("HTTP_")}
        for name, header in (("CONTENT_TYPE", "Content-Type"), ("CONTENT_LENGTH", "Content-Length")):
            if environ.get(name):
                self.headers[header] = str(environ[name])
        self.body = _body(environ)
        found = _SCOPE.search(self.headers.get("Authorization", "")) or _SCOPE.search(self.query.replace("%2F", "/"))
        self.service = found[2].lower() if found else "s3"
        self.key = found[1] if found else ""
        self.operation, self.protocol = self._read()

    @property
    def told(self) -> str:
        """`sagemaker:DescribeEndpoint`, for counting."""
        return f"{self.service}:{self.operation}"

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        if " " in self.operation or self.service == "s3":
            return self.method not in ("GET", "HEAD")
        return not self.operation.startswith(("Describe", "List", "Get", "Search", "Lookup", "Head", "Invoke", "Validate", "Filter"))

    def _read(self) -> tuple[str, str]:
        target = self.headers.get("X-Amz-Target")
        if target:
            return target.rpartition(".")[2], "json"
        if self.service == "s3":
            return f"{self.method} {'object' if self.path.strip('/').count('/') else 'bucket'}", "s3"
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            return parse_qs(self.body.decode("utf-8", "replace")).get("Action", ["?"])[0], "query"
        return _rest(self.service, self.method, self.path), "rest-json"


_RESTS = {"appconfig": ("appconfig", "appconfigdata"), "sagemaker": ("sagemaker-runtime",)}
_operations: dict[str, list[tuple[str, re.Pattern[str], str]]] = {}


def _rest(service: str, method: str, path: str) -> str:
    """The operation that a path means, by botocore's own model."""
    if service not in _operations:
        import botocore.session

        session, found = botocore.session.Session(), []
        for name in _RESTS.get(service, ()):
            model = session.get_service_model(name)
            for operation in model.operation_names:
                told = model.operation_model(operation).http
                pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(told["requestUri"].partition("?")[0]))
                found.append((told["method"], re.compile(pattern), operation))
        _operations[service] = found
    for verb, wanted, named in _operations[service]:
        if verb == method and wanted.fullmatch(path):
            return named
    return f"{method} {path}"


def _body(environ: dict[str, Any]) -> bytes:
    """The whole body; what comes after may read it again."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    chunked = environ.get("wsgi.input_terminated", False)
    body: bytes = stream.read(int(length)) if length else stream.read() if chunked else b""
    environ["wsgi.input"] = io.BytesIO(body)
    if chunked:
        environ["CONTENT_LENGTH"] = str(len(body))
    return body


def _send(reply: Reply, start: Any) -> Iterable[bytes]:
    headers = [(name, value) for name, value in reply.headers.items()]
    start(f"{reply.status} {http.client.responses.get(reply.status, 'Unknown')}", [*headers, ("Content-Length", str(len(reply.body)))])
    return [reply.body]
