"""The probes `http` and `tcp` against real servers, good and bad ones."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from checks.kit import answering, certified, dripping, flooding, free_port, hanging, made, secure, serving
from mlconsole.plugin.conformance import ProbeBench, ProbeConformance
from mlconsole.plugin.conformance.kinds import HOSTILE
from mlconsole.plugin.roles import Sighting
from mlconsole_checks import http_plugin
from mlconsole_checks import tcp_plugin as tcp

OK = b"HTTP/1.1 200 OK\r\n"


class Server:
    """A real HTTP server that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
                status = {"/busy": 503, "/moved": 302, "/made": 201}.get(self.path.partition("?")[0], 200)
                body = {"/echo": str(self.headers), "/hostile": HOSTILE}.get(self.path, "all is well").encode()
                self.send_response(503 if self.path in ("/echo", "/hostile") else status)
                self.send_header("content-length", str(len(body)))
                if status == 302:
                    self.send_header("location", f"http://127.0.0.1:{server.port}/elsewhere")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_POST = do_GET

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def look(self, path: str = "/", **options: Any) -> Sighting:
        return look(self.port, path, **options)


@pytest.fixture
def server() -> Iterator[Server]:
    made_ = Server()
    yield made_
    made_.close()


def look(port: int, path: str = "/", timeout: float = 5.0, **options: Any) -> Sighting:
    seen: Sighting = made(http_plugin, url=f"http://127.0.0.1:{port}{path}", **options).look(timeout)
    return seen


def test_a_status_a_text_a_method(server: Server) -> None:
    seen = server.look("/health?deep=1")
    assert (seen.ok, seen.unit) == (True, "ms")
    assert seen.value is not None
    assert seen.text.startswith("200 in ")
    assert server.asked[0][:2] == ("GET", "/health?deep=1")
    assert server.look("/made").ok is True
    assert server.look("/made", status=200).text == "201, wanted 200: all is well"
    assert server.look("/busy").text == "503, wanted 2xx: all is well"
    assert server.look("/busy", status=503).ok is True
    assert server.look(contains="is well").ok is True
    assert server.look(contains="is ill").text == 'the answer does not contain "is ill"'
    assert server.look(method="HEAD").ok is True
    assert server.asked[-1][0] == "HEAD"


def test_a_redirect_is_an_answer_and_not_followed(server: Server) -> None:
    seen = server.look("/moved")
    assert seen.ok is False
    assert seen.text.startswith("302, wanted 2xx (it sends elsewhere, and nobody went there)")
    assert [path for _, path, _ in server.asked] == ["/moved"]


def test_too_slow_is_ill(server: Server) -> None:
    def late(connection: Any, ending: threading.Event) -> None:
        connection.recv(65_536)
        ending.wait(0.05)
        connection.sendall(OK + b"content-length: 0\r\n\r\n")

    with serving(late) as port:
        seen = look(port, latency_ms=10)
    assert seen.ok is False
    assert seen.text.endswith(" ms, wanted at most 10 ms")
    assert server.look(latency_ms=60_000).ok is True


def test_headers_and_urls_come_from_the_environment_and_are_not_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_TOKEN", "Bearer hunter2")
    seen = server.look("/echo", headers_env={"Authorization": "PROBE_TOKEN"})
    assert server.asked[0][2]["authorization"] == "Bearer hunter2"
    assert "hunter2" not in seen.text
    monkeypatch.setenv("PROBE_TOKEN", "a\r\nX-Evil: 1")
    assert server.look(headers_env={"Authorization": "PROBE_TOKEN"}) == Sighting(
        None, "the URL or a header holds characters that can't be sent"
    )
    monkeypatch.delenv("PROBE_TOKEN")
    assert server.look(headers_env={"Authorization": "PROBE_TOKEN"}).text == "the environment variable PROBE_TOKEN is not set"
    monkeypatch.setenv("PROBE_URL", f"http://127.0.0.1:{server.port}/secret-path")
    assert made(http_plugin, url_env="PROBE_URL").look(5.0).ok is True
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("handler", "options", "told"),
    [
        (hanging, {}, "no answer within 0.2 s"),
        (dripping(b"HTTP/1.1 200 O"), {}, "no answer within 0.2 s"),
        (dripping(OK), {}, "no answer within 0.2 s"),
        (dripping(OK + b"content-length: 9999999\r\n\r\n"), {}, "no answer within 0.2 s"),
        (flooding(OK + b"\r\n"), {"contains": "well"}, 'the first MB of the answer does not contain "well"'),
        (flooding(OK), {}, "what it answers is no HTTP (LineTooLong)"),
        (answering(OK + b"a: b\r\n" * 200 + b"\r\n"), {}, "what it answers is no HTTP"),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n"), {}, "what it answers is no HTTP (BadStatusLine)"),
        (answering(OK + b"content-length: 50\r\n\r\nshort"), {}, "the answer was cut off"),
        (answering(b""), {}, "connection closed"),
    ],
)
def test_what_answers_badly_is_ill(handler: Any, options: Mapping[str, Any], told: str) -> None:
    with serving(handler) as port:
        seen = look(port, timeout=0.2 if "within" in told else 5.0, **options)
    assert seen.ok is False
    assert told in seen.text


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/", "127.0.0.1:80", "http://", "http://[", "http://me:hunter2@127.0.0.1/", "http://a:99999/"],
)
def test_a_url_that_is_none_can_not_be_asked(url: str) -> None:
    seen = made(http_plugin, url=url).look(1.0)
    assert seen.ok is None
    assert "hunter2" not in seen.text


def test_one_url_is_wanted() -> None:
    assert made(http_plugin).look(1.0) == Sighting(None, "one of url and url_env is wanted")


def test_https_to_a_server_without_is_ill(server: Server) -> None:
    seen = made(http_plugin, url=f"https://127.0.0.1:{server.port}/").look(5.0)
    assert seen.ok is False
    assert seen.text.startswith("no TLS (")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = certified(tmp_path)
    with serving(secure(context, answering(OK + b"content-length: 5\r\n\r\nhello"))) as port:
        probe = made(http_plugin, url=f"https://localhost:{port}/", contains="hello")
        seen = probe.look(5.0)
        assert (seen.ok, seen.text) == (False, "its certificate is not good (self-signed certificate)")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert probe.look(5.0).ok is True
        seen = made(http_plugin, url=f"https://127.0.0.1:{port}/").look(5.0)
        assert seen.ok is False
        assert "IP address mismatch" in seen.text


def test_no_half_of_a_secret_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_TOKEN", "Bearer hunter2hunter2hunter2")
    for begin in range(60, 82):
        answer = f"HTTP/1.1 500 no\r\n\r\n{'x' * begin}hunter2hunter2hunter2"
        with serving(answering(answer.encode())) as port:
            text = look(port, headers_env={"Authorization": "PROBE_TOKEN"}).text
        assert "hu" not in text


def test_tcp(server: Server) -> None:
    seen = made(tcp, address=f"127.0.0.1:{server.port}").look(5.0)
    assert (seen.ok, seen.unit) == (True, "ms")
    assert seen.text.startswith("connected in ")
    port = free_port()
    assert made(tcp, address=f"[127.0.0.1]:{port}").look(5.0).text == f"127.0.0.1:{port} takes no connection (connection refused)"
    assert made(tcp, address=f"localhost:{server.port}").look(5.0).ok is True
    assert made(tcp, address="127.0.0.1").look(5.0) == Sighting(None, '"127.0.0.1" is no address: HOST:PORT is wanted')


class TestHttp(ProbeConformance):
    @pytest.fixture
    def bench(self, server: Server) -> Iterator[ProbeBench]:
        url = f"http://127.0.0.1:{server.port}"
        with serving(hanging) as deaf:
            yield ProbeBench(
                well=made(http_plugin, url=url),
                ill=made(http_plugin, url=f"{url}/busy"),
                dead=made(http_plugin, url=f"http://127.0.0.1:{free_port()}/"),
                hanging=made(http_plugin, url=f"http://127.0.0.1:{deaf}/"),
                impossible=made(http_plugin, url="http://no.such.host.invalid/"),
                hostile=made(http_plugin, url=f"{url}/hostile"),
            )


class TestTcp(ProbeConformance):
    @pytest.fixture
    def bench(self, server: Server) -> ProbeBench:
        dead = made(tcp, address=f"127.0.0.1:{free_port()}")
        return ProbeBench(
            well=made(tcp, address=f"127.0.0.1:{server.port}"),
            ill=dead,
            dead=dead,
            # From the network of documentation: packets there go nowhere, or are refused at once.
            hanging=made(tcp, address="192.0.2.1:9"),
            impossible=made(tcp, address="@nothing"),
        )
