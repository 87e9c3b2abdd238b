"""The notifier `webhook` against a real HTTP server on loopback."""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.kit import answering, certified, dripping, free_port, hanging, made, secure, serving
from mlconsole.plugin.conformance import NotifierBench, NotifierConformance
from mlconsole.plugin.conformance.kinds import NOTICE
from mlconsole.plugin.errors import BackendError, InvalidRequest, Refused, Throttled, Unavailable
from mlconsole.plugin.roles import Notice
from mlconsole_notify import webhook_plugin as webhook

SECRET = "hunter2hunter2"
PAGE = Notice("31:page:1", "PROD relevance: <ALL> IDENTICAL", ("a & b", "<!channel> hurry"), "page", "production", 31, {"n": 47})


class Receiver:
    """Keeps what it got, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], Any]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"ok"
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(receiver.body.replace(b"PATH", self.path.encode()))

            def do_GET(self) -> None:
                raise AssertionError("nobody asked for that")

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/services/T01/{SECRET}?token={SECRET}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    made_ = Receiver()
    monkeypatch.setenv("OPS_WEBHOOK", made_.url)
    yield made_
    made_.close()


def send(notice: Notice = PAGE) -> None:
    made(webhook, url_env="OPS_WEBHOOK").send(notice, 5.0)


def failure(kind: type[BackendError]) -> str:
    with pytest.raises(kind) as caught:
        send()
    assert type(caught.value) is kind
    told = str(caught.value)
    assert SECRET not in told
    assert told.isprintable()
    return told


def test_it_is_what_slack_takes_and_ours_beside_it(receiver: Receiver) -> None:
    send()
    ((headers, body),) = receiver.got
    assert headers["idempotency-key"] == "31:page:1"
    assert headers["content-type"] == "application/json; charset=utf-8"
    # Slack's own commands are text in it.
    assert body["text"] == "PROD relevance: &lt;ALL&gt; IDENTICAL\na &amp; b\n&lt;!channel&gt; hurry"
    assert body["mlconsole"] == {
        "key": "31:page:1",
        "title": "PROD relevance: <ALL> IDENTICAL",
        "lines": ["a & b", "<!channel> hurry"],
        "severity": "page",
        "environment": "production",
        "alarm": 31,
        "fields": {"n": 47},
    }


def test_numbers_that_json_has_not_are_null(receiver: Receiver) -> None:
    send(NOTICE)
    assert receiver.got[0][1]["mlconsole"]["fields"]["odd"] is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (201, None),
        (204, None),
        (429, Throttled),
        (500, Unavailable),
        (503, Unavailable),
        (408, Unavailable),
        (400, Refused),
        (404, Refused),
    ],
)
def test_what_the_status_means(receiver: Receiver, status: int, kind: type[BackendError] | None) -> None:
    receiver.status = status
    receiver.body = b"" if status == 204 else b"no_service at PATH"
    if kind is None:
        send()
    else:
        assert f"({status}: no_service at " in failure(kind)


def test_how_long_to_wait_is_told(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 429, {"retry-after": "30"}
    assert failure(Throttled) == "The webhook takes no more just now (429: ok), and asks for 30 s."


def test_a_notice_goes_nowhere_else(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 307, {"location": receiver.url.replace("T01", "T02")}
    assert "sends elsewhere" in failure(Refused)
    assert len(receiver.got) == 1


def test_a_url_that_is_missing_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPS_WEBHOOK", raising=False)
    assert failure(Unavailable).startswith("The webhook has no URL: the environment variable OPS_WEBHOOK is not set.")
    for url in (f"ftp://x/{SECRET}", f"https://me:{SECRET}@x/", SECRET):
        monkeypatch.setenv("OPS_WEBHOOK", url)
        assert "can't be used" in failure(InvalidRequest)
    monkeypatch.setenv("OPS_WEBHOOK", f"http://127.0.0.1/{SECRET}\x01")
    failure(Unavailable)
    for options in ({}, {"url": "http://127.0.0.1/", "url_env": "X"}):
        with pytest.raises(InvalidRequest, match="needs one of url_env and url"):
            made(webhook, **options).send(PAGE, 1.0)


def test_slow_drips_do_not_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(dripping(b"HTTP/1.1 200 OK\r\n")) as port:
        monkeypatch.setenv("OPS_WEBHOOK", f"http://127.0.0.1:{port}/{SECRET}")
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            made(webhook, url_env="OPS_WEBHOOK", timeout=0.2).send(PAGE, 5.0)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_it_goes_through_the_proxy_that_the_host_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    certificate, context = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    def taking(connection: socket.socket, _: threading.Event) -> None:
        request = b""
        while not request.endswith(b"}}"):
            request += connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    def proxy(connection: socket.socket, ending: threading.Event) -> None:
        while not asked or not asked[-1].endswith(b"\r\n\r\n"):
            asked.append((asked.pop() if asked else b"") + connection.recv(4096))
        connection.sendall(b"HTTP/1.1 200 go on\r\nvia: us\r\n\r\n")
        # The same socket is the receiver's from here on, as through any tunnel.
        secure(context, taking)(connection, ending)

    with serving(proxy) as port:
        monkeypatch.setenv("https_proxy", f"http://me:p%40ss@127.0.0.1:{port}")
        made(webhook, url="https://localhost:9/hook").send(PAGE, 5.0)
        assert asked[0].startswith(b"CONNECT localhost:9 HTTP/1.1\r\n")
        assert base64.b64encode(b"me:p@ss") in asked[0]
        monkeypatch.setenv("no_proxy", "localhost")
        with pytest.raises(Unavailable, match="localhost:9 takes no connection"):
            made(webhook, url="https://localhost:9/hook").send(PAGE, 5.0)
    monkeypatch.delenv("no_proxy")
    with serving(answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as port:
        monkeypatch.setenv("https_proxy", f"http://me:hunter2@127.0.0.1:{port}")
        with pytest.raises(Unavailable, match=r"the proxy does not open a way there .*407") as caught:
            made(webhook, url="https://localhost:9/hook").send(PAGE, 5.0)
        assert "hunter2" not in str(caught.value)


class TestConformance(NotifierConformance):
    @pytest.fixture
    def bench(self, receiver: Receiver) -> Iterator[NotifierBench]:
        refusing = Receiver()
        refusing.status, refusing.body = 403, b"no such path: PATH"
        with serving(hanging) as deaf:
            yield NotifierBench(
                good=made(webhook, url=receiver.url),
                received=lambda: [f"{headers['idempotency-key']} {body['text']}" for headers, body in receiver.got],
                dead=made(webhook, url=f"http://127.0.0.1:{free_port()}/{SECRET}"),
                hanging=made(webhook, url=f"http://127.0.0.1:{deaf}/{SECRET}"),
                refusing=made(webhook, url=refusing.url),
                secrets=[SECRET],
            )
        refusing.close()
