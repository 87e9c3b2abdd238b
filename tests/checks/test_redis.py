"""The probe `redis` against a real Redis, and against what only says it is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from checks.kit import answering, dripping, flooding, free_port, hanging, made, redis_server, serving
from mlconsole.plugin.conformance import ProbeBench, ProbeConformance
from mlconsole.plugin.conformance.kinds import HOSTILE
from mlconsole.plugin.resp import Redis
from mlconsole.plugin.roles import Sighting
from mlconsole_checks import redis_plugin as redis

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("redis-probe")]

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("locked"), "--requirepass", PASSWORD) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Redis]:
    client = Redis("127.0.0.1", port)
    client.call(b"FLUSHALL")
    yield client
    client.call(b"FLUSHALL")
    client.call(b"CONFIG", b"SET", b"maxmemory", b"0")
    client.close()


def fill(client: Redis, count: int, prefix: str = "vec:") -> None:
    client.pipeline([(b"SET", f"{prefix}{number}".encode(), b"x") for number in range(count)])


def look(port: int, timeout: float = 5.0, **options: Any) -> Sighting:
    seen: Sighting = made(redis, address=f"127.0.0.1:{port}", **options).look(timeout)
    return seen


def test_emptied_it_is_ill_although_it_answers(port: int, client: Redis) -> None:
    fill(client, 1338)
    assert look(port, keys=1000) == Sighting(True, "1 338 keys", 1338.0, "keys")
    client.call(b"FLUSHALL")
    assert look(port, keys=1000) == Sighting(False, "0 keys, wanted at least 1 000", 0.0, "keys")
    assert look(port) == Sighting(True, "0 keys", 0.0, "keys")


def test_a_key_that_is_missing(port: int, client: Redis) -> None:
    fill(client, 3)
    assert look(port, sentinel="vec:1", keys=3) == Sighting(True, "3 keys, vec:1 is there", 3.0, "keys")
    assert look(port, sentinel="vec:port", keys=3) == Sighting(False, "vec:port is missing", 3.0, "keys")
    assert look(port, sentinel="vec:port", keys=9).text == "3 keys, wanted at least 9; vec:port is missing"


def test_only_keys_of_a_pattern(port: int, client: Redis) -> None:
    fill(client, 2500)
    fill(client, 2500, "other:")
    assert look(port, match="vec:*", keys=2500).ok is True
    assert look(port, match="vec:*", keys=2501) == Sighting(False, "2 500 keys of vec:*, wanted at least 2 501", 2500.0, "keys")
    seen = look(port, match="vec:*", keys=10)
    assert seen.ok is True
    assert seen.text.startswith("at least ")


def test_too_many_to_look_through_is_no_verdict(port: int, client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(client, 5000, "other:")
    monkeypatch.setattr("mlconsole_checks.redis_probe._STEP", 100)
    monkeypatch.setattr("mlconsole_checks.redis_probe._LOOKED_AT", 300)
    seen = look(port, match="vec:*", keys=5)
    assert (seen.ok, seen.text) == (
        None,
        "0 keys of vec:* among the first 300 of 5 000, wanted at least 5: too many to look through",
    )


def test_another_database(port: int, client: Redis) -> None:
    fill(client, 2)
    assert look(port, db=3, keys=1).text == "0 keys, wanted at least 1"
    seen = look(port, db=99)
    assert seen.ok is None
    assert "out of range" in seen.text


def test_memory_against_its_maximum_or_the_machines(port: int, client: Redis) -> None:
    seen = look(port, memory=0.9)
    assert seen.ok is True
    assert "of the machine's (no maxmemory is set)" in seen.text
    client.call(b"CONFIG", b"SET", b"maxmemory", b"1gb")
    assert look(port, memory=0.9).text.endswith("memory 0 %")
    used = int(dict(line.split(":", 1) for line in client.call(b"INFO", b"memory").decode().splitlines() if ":" in line)["used_memory"])
    client.call(b"CONFIG", b"SET", b"maxmemory", str(used * 2).encode())
    seen = look(port, memory=0.1)
    assert seen.ok is False
    assert seen.text.endswith(" %, wanted at most 10 %")


def test_passwords(locked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    assert look(locked, password_env="REDIS_PASSWORD").ok is True
    assert look(locked, password_env="REDIS_PASSWORD", username="default").ok is True
    seen = look(locked)
    assert (seen.ok, seen.text) == (None, "Redis refuses: NOAUTH Authentication required.")
    monkeypatch.setenv("REDIS_PASSWORD", "wrong-password")
    seen = look(locked, password_env="REDIS_PASSWORD")
    assert seen.ok is None
    assert "WRONGPASS" in seen.text or "invalid password" in seen.text
    assert "wrong-password" not in seen.text
    monkeypatch.delenv("REDIS_PASSWORD")
    assert look(locked, password_env="REDIS_PASSWORD") == Sighting(None, "the environment variable REDIS_PASSWORD is not set")


def test_a_password_that_is_sent_back_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
    with serving(answering(b"-ERR you said hunter2\r\n")) as port:
        assert look(port, password_env="REDIS_PASSWORD") == Sighting(None, "Redis refuses: ERR you said …")


def test_one_that_is_loading_is_ill() -> None:
    with serving(answering(b"-LOADING Redis is loading the dataset in memory\r\n")) as port:
        assert look(port) == Sighting(False, "Redis refuses: LOADING Redis is loading the dataset in memory")


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (hanging, "no answer within 0.2 s"),
        (dripping(b"+PO"), "no answer within 0.2 s"),
        (dripping(b"+PONG\r\n$1000000\r\n"), "no answer within 0.2 s"),
        (flooding(b"+"), "a line without an end"),
        (answering(b"$9000000000\r\n"), "a larger answer than is wanted"),
        (answering(b"*900000000\r\n"), "a larger answer than is wanted"),
        (answering(b"*1\r\n" * 50), "a larger answer than is wanted"),
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "what it answers is not Redis' protocol"),
        (answering(b"+PONG\r\n+many\r\n"), "is no Redis"),
        (answering(b"$-7\r\n"), "a larger answer than is wanted"),
        (answering(b":x\r\n"), "does not answer"),
        (answering(b""), "connection closed"),
        (answering(f"+PONG\r\n:{HOSTILE}\r\n".encode()), "does not answer"),
    ],
)
def test_what_answers_badly_is_ill(handler: Any, told: str) -> None:
    with serving(handler) as port:
        seen = look(port, 0.2 if "within" in told else 5.0)
    assert seen.ok is False
    assert told in seen.text
    assert seen.text.isprintable()


def test_a_dead_address_and_one_that_is_none() -> None:
    assert look(port := free_port()) == Sighting(False, f"127.0.0.1:{port} takes no connection (connection refused)")
    for address, told in (
        ("@redis-embeddings", 'there is no service "redis-embeddings" here'),
        ("no.such.host.invalid", "no.such.host.invalid"),
        ("127.0.0.1:0", '"127.0.0.1:0" is no address: HOST:PORT is wanted'),
        ("127.0.0.1:99999999999", "is no address"),
        ("a b:6379", "is no address"),
    ):
        seen = made(redis, address=address).look(5.0)
        assert seen.ok is None, seen
        assert told in seen.text


def test_it_speaks_tls_or_says_that_the_other_does_not(port: int) -> None:
    seen = look(port, 0.3, tls=True)
    assert seen.ok is False
    assert seen.text.startswith("no TLS (")


class TestConformance(ProbeConformance):
    @pytest.fixture
    def bench(self, port: int, client: Redis, locked: int) -> Iterator[ProbeBench]:
        fill(client, 5)
        with serving(hanging) as deaf, serving(answering(f"-ERR {HOSTILE}\r\n".encode())) as hostile:
            yield ProbeBench(
                well=made(redis, address=f"127.0.0.1:{port}", keys=5),
                ill=made(redis, address=f"127.0.0.1:{port}", keys=6),
                dead=made(redis, address=f"127.0.0.1:{free_port()}"),
                hanging=made(redis, address=f"127.0.0.1:{deaf}"),
                impossible=made(redis, address=f"127.0.0.1:{locked}"),
                hostile=made(redis, address=f"127.0.0.1:{hostile}"),
            )
