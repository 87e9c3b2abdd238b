"""Notifying: the outgoing sign of life, which is a secret, and a channel that is tried before it is needed."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.health_kit import HealthHouse, health_house
from mlconsole.engine.notifying import Postman, Pulse, try_channel
from mlconsole.plugin.errors import MLConsoleError, Unavailable

SECRET = "5f0c8b1e-secret-token"


class Ear:
    """A server that counts what it is asked for, and answers with `status`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        ear = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                ear.asked.append(self.path)
                self.send_response(ear.status, "no\x1b[31m")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/{SECRET}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    yield made
    made.close()


@pytest.fixture
def house(tmp_path: Path) -> HealthHouse:
    made = health_house(tmp_path)
    return made.write("    ping: {url_env: SIGN_OF_LIFE, every: 60}\n    notify: {ops: {kind: told, file: ops.jsonl}}", endpoints="  {}")


def test_the_sign_of_life_goes_out_at_its_interval(house: HealthHouse, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGN_OF_LIFE", ear.url)
    pulse = Pulse(house.session())
    for _ in range(3):
        pulse.beat()
    assert len(ear.asked) == 1
    house.passes(59)
    pulse.beat()
    assert len(ear.asked) == 1
    house.passes(1)
    pulse.beat()
    assert ear.asked == [f"/{SECRET}"] * 2
    assert pulse.trouble == ""


@pytest.mark.parametrize("how", ["refuses", "gone", "nonsense", "scheme", "unset"])
def test_one_that_is_not_taken_is_told_without_its_url(house: HealthHouse, ear: Ear, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Invariant 10: who knows the URL could feign that the guardian lives."""
    urls: dict[str, Callable[[], str]] = {
        "refuses": lambda: ear.url,
        "gone": lambda: f"http://127.0.0.1:1/{SECRET}",
        "nonsense": lambda: f"{SECRET} is no URL",
        "scheme": lambda: f"gopher://{SECRET}.example/",
        "unset": lambda: "",
    }
    ear.status = 403
    monkeypatch.setenv("SIGN_OF_LIFE", urls[how]())
    pulse = Pulse(house.session())
    pulse.beat()
    assert pulse.trouble.startswith("the outgoing heartbeat ")
    assert SECRET not in pulse.trouble
    assert "\x1b" not in pulse.trouble
    if how == "unset":
        assert pulse.trouble == "the outgoing heartbeat has no URL (SIGN_OF_LIFE is not set)"
    if how == "refuses":
        house.passes(15)
        ear.status = 200
        pulse.beat()
        assert len(ear.asked) == 2, "one that failed is tried again sooner"
        assert pulse.trouble == ""


def test_a_url_may_be_no_secret(house: HealthHouse, ear: Ear) -> None:
    house.write(f"    ping: {{url: '{ear.url.rpartition('/')[0]}/alive', every: 60}}", endpoints="  {}")
    Pulse(house.session()).beat()
    assert ear.asked == ["/alive"]


def test_without_a_ping_nothing_goes_out(house: HealthHouse, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGN_OF_LIFE", ear.url)
    house.write("    probes: {}", endpoints="  {}")
    pulse = Pulse(house.session())
    pulse.beat()
    assert (ear.asked, pulse.trouble) == ([], "")


def test_a_channel_is_tried(house: HealthHouse) -> None:
    try_channel(house.session(), "ops")
    [told] = house.heard()
    assert told["severity"] == "info"
    assert told["title"] == "test staging: a trial of this channel, nothing is wrong"
    assert told["lines"] == ["asked for by anna@bastion-1"]
    assert told["alarm"] is None
    assert house.session().registry.notices("staging") == [], "it waits for nobody"
    (house.root / "ops.broken").write_text("Unavailable: it is down")
    with pytest.raises(Unavailable, match="it is down"):
        try_channel(house.session(), "ops")


def test_a_webhooks_url_is_in_no_text(house: HealthHouse, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 10: neither in what goes wrong, nor in the outbox, the sign of life, or the registry's file."""
    monkeypatch.setenv("OPS_WEBHOOK", f"http://127.0.0.1:1/{SECRET}")
    house.write("    notify: {ops: {kind: webhook, url_env: OPS_WEBHOOK}}", endpoints="  {}")
    house.behaves("3", error_rate=1.0)
    house.passes(30)
    house.serve(30)
    house.watch().look()
    session = house.session()
    postman = Postman(session)
    assert postman.deliver() == 0
    [row] = session.registry.notices("staging")
    assert row.problem
    said = [postman.trouble, row.problem, str(row.notice)]
    with pytest.raises(MLConsoleError) as error:
        try_channel(session, "ops")
    said += [error.value.message, error.value.next or ""]
    assert not [text for text in said if SECRET in text]
    for file in (house.root / ".mlconsole").glob("registry.db*"):
        assert SECRET.encode() not in file.read_bytes()
