"""A part of ours that answers as AWS would, word by word as a test says it: for what no server of somebody else's can be made to do."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from mlconsole.core.clock import Clock, SystemClock
from mlconsole.plugin import Context
from mlconsole.plugin.validation import validate
from mlconsole.workspace.reading import parse_yaml
from mlconsole_aws.options import OPTIONS

ACCOUNT, REGION = "123456789012", "eu-central-1"
KEY, SECRET = "AKIASCRIPTED00000001", "scripted-secret-that-nobody-may-see"


@dataclass(frozen=True)
class Reply:
    """One answer. `hold` is waited for before it is sent; `hang_up`: the connection is closed without one."""

    status: int = 200
    body: Mapping[str, Any] | str = ""
    hold: threading.Event | None = None
    hang_up: bool = False
    plain: bool = False


def error(code: str, message: str = "", status: int = 400) -> Reply:
    """An error as services of the JSON protocol put it."""
    return Reply(status, {"__type": code, "message": message or code})


def caller(account: str = ACCOUNT, arn: str = "") -> Reply:
    """What GetCallerIdentity answers."""
    arn = arn or f"arn:aws:sts::{account}:assumed-role/ops/anna"
    return Reply(
        200,
        "<GetCallerIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><GetCallerIdentityResult>"
        f"<Arn>{arn}</Arn><UserId>AROA:anna</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
    )


def sts_error(code: str, message: str) -> Reply:
    """An error of STS."""
    text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    return Reply(403, text)


class Scripted:
    """`answers[operation]`: the next reply, given the request's parameters. What nobody says is `{}`, and for STS our own account."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Callable[[Mapping[str, Any]], Reply]] = {}
        self.asked: list[tuple[str, Mapping[str, Any], Mapping[str, str]]] = []
        self.at_once: dict[str, int] = defaultdict(int)
        self.most_at_once: dict[str, int] = defaultdict(int)
        self.lock = threading.Lock()

    def say(self, operation: str, *replies: Reply) -> None:
        """These replies in this order, the last one again and again."""
        left = list(replies)
        self.answers[operation] = lambda _: left.pop(0) if len(left) > 1 else left[0]

    def count(self, operation: str) -> int:
        """How often it was asked."""
        return sum(one == operation for one, _, _ in self.asked)

    def reply(self, operation: str, parameters: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
        """What to answer."""
        with self.lock:
            self.asked.append((operation, parameters, headers))
            found = self.answers.get(operation)
            if found is not None:
                return found(parameters)
        return caller() if operation == "GetCallerIdentity" else Reply(200, {})


@contextmanager
def scripted() -> Iterator[Scripted]:
    """One that answers on a port of its own until the test is over."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            if target:
                operation, parameters = target, json.loads(body or "{}")
            else:
                parameters = {key: value[0] for key, value in parse_qs(body).items()}
                operation = str(parameters.get("Action", self.path.partition("?")[0]))
            with part.lock:
                part.at_once[operation] += 1
                part.most_at_once[operation] = max(part.most_at_once[operation], part.at_once[operation])
            try:
                self._answer(part.reply(operation, parameters, dict(self.headers)))
            finally:
                with part.lock:
                    part.at_once[operation] -= 1

        do_GET = do_PUT = do_POST

        def _answer(self, reply: Reply) -> None:
            if reply.hold is not None:
                reply.hold.wait(30)
            if reply.hang_up:
                self.close_connection = True
                self.connection.close()
                return
            body = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
            kind = "text/xml" if isinstance(reply.body, str) else "application/x-amz-json-1.1"
            if reply.plain:
                kind = "text/plain"
            self.send_response(reply.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the class that it overrides
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # who hung up is told nothing more

    server = Server(("127.0.0.1", 0), Handler)
    part = Scripted(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield part
    finally:
        server.shutdown()
        server.server_close()


def profile_text(url: str, name: str = "ops", *, keys: bool = True, region: str = REGION, **more: str) -> str:
    """A profile in boto3's own words that leads to `url`."""
    said = {"region": region, "endpoint_url": url, **({"aws_access_key_id": KEY, "aws_secret_access_key": SECRET} if keys else {}), **more}
    return f"[profile {name}]\n" + "".join(f"{key} = {value}\n" for key, value in said.items() if value)


def context(
    tmp_path: Path, text: str, clock: Clock | None = None, *, guardian: bool = False, environment: str = "staging", **options: Any
) -> Context:
    """What a role is given; `text` is written as the config file."""
    file = tmp_path / "aws-config"
    file.write_text(text, encoding="utf-8")
    said = {"region": REGION, "account": ACCOUNT, "profile": "ops", "config_file": str(file), **options}
    said = {key: value for key, value in said.items() if value is not None}
    return Context(
        environment=environment,
        root=tmp_path,
        state=tmp_path / "state" / "aws",
        options=validate(OPTIONS, parse_yaml(json.dumps(said).encode(), "options", minimal="{}"), "options"),
        clock=clock or SystemClock(),
        guardian=guardian,
    )
