"""The local plugin's actions: replayed traffic (what is refused, that starting twice is starting once, what is left out), a Redis that is
emptied and filled again, a server that is killed.
"""

from __future__ import annotations

import base64
import json
import signal
import struct
from collections.abc import Iterator, Mapping
from itertools import pairwise

import pytest

from local.backend import V1, V2, Backend
from local.kit import until
from mlconsole.plugin.errors import InvalidRequest, NotFound, Unavailable
from mlconsole.plugin.resp import Redis
from mlconsole.plugin.roles import Addresses
from mlconsole_local import processes

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("local-actions")]

GOOD = {"endpoint": "rel", "events": "events.jsonl", "rate": "100"}


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "events.jsonl").write_text("".join(json.dumps({"id": n, "inputs": {"x": n, "language": "de"}}) + "\n" for n in range(20)))
    spoken = [{"id": n, "inputs": {"x": n, "language": "pl" if n % 4 == 0 else "en"}} for n in range(20)]
    (folder / "spoken.jsonl").write_text("".join(json.dumps(event) + "\n" for event in spoken))
    words = {word: struct.pack("<1f", 1.0) for word in ("flood", "port", "sea")}
    (folder / "vectors.tsv").write_text("".join(f"{word}\t{base64.b64encode(vector).decode()}\n" for word, vector in words.items()))
    (folder / "bad.jsonl").write_text('{"id": 1, "inputs": {"x": 1}}\n{"id": 2}\n')
    (folder / "empty.jsonl").write_text("\n")
    made = Backend(folder, options={"services": {"embeddings": {"kind": "redis", "load": "vectors.tsv", "prefix": "w:"}}})
    with pytest.raises(Unavailable, match="local up"):
        made.actions["traffic-start"].run(GOOD)
    made.serve(V1, V2)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({}, "needs endpoint"),
        ({"endpoint": "rel"}, "needs events: nothing was replayed before"),
        ({**GOOD, "speed": "1"}, "has no parameter speed. It has endpoint, events, only, rate, slices, without"),
        ({**GOOD, "rate": "fast"}, '"fast" is no number of requests a second'),
        ({**GOOD, "rate": "nan"}, "nan requests per second can't be sent"),
        ({**GOOD, "rate": "0"}, "0 requests per second can't be sent"),
        ({**GOOD, "rate": "5000"}, "at most 1000"),
        ({**GOOD, "slices": "language"}, '"language" does not name slices'),
        ({**GOOD, "without": "de"}, '"de" does not name events'),
        ({**GOOD, "without": "language=pl"}, "No event has language=pl. Known: de. Nothing was changed"),
        ({**GOOD, "only": "tongue=de"}, "No event has tongue=de"),
        ({**GOOD, "without": "language=de"}, "leaves no event to send"),
        ({**GOOD, "events": "nowhere.jsonl"}, r"nowhere\.jsonl can't be read: No such file"),
        ({**GOOD, "events": "bad.jsonl"}, r"bad\.jsonl, line 2: an event with id and inputs is wanted"),
        ({**GOOD, "events": "empty.jsonl"}, r"empty\.jsonl has no events"),
    ],
)
def test_bad_parameters_are_refused_at_once(backend: Backend, parameters: Mapping[str, str], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        backend.actions["traffic-start"].run(parameters)
    assert not (backend.layout.replay / "rel").exists() or "replay/rel" not in backend.pids()


def test_names_that_are_none_are_not_found(backend: Backend) -> None:
    for action in ("traffic-status", "traffic-stop"):
        with pytest.raises(NotFound, match="No traffic is replayed to other"):
            backend.actions[action].run({"endpoint": "other"})
        with pytest.raises(InvalidRequest):
            backend.actions[action].run({"endpoint": "../x"})
    with pytest.raises(NotFound, match='no endpoint "other"'):
        backend.actions["traffic-start"].run({**GOOD, "endpoint": "other"})


def test_traffic_is_started_once_changed_counted_and_stopped(backend: Backend) -> None:
    cursor = backend.predictions.cursor_at(backend.context.clock.now())
    start, status, stop = (backend.actions[f"traffic-{name}"] for name in ("start", "status", "stop"))
    told = start.run(GOOD)
    assert told["rate"] == 100.0
    assert start.run(GOOD)["pid"] == told["pid"]
    changed = start.run({**GOOD, "slices": "language=language"})
    assert changed["pid"] != told["pid"]
    assert backend.parts()["traffic to rel"].state == "running"
    counted = until(lambda: (now := status.run({"endpoint": "rel"})) and now["sent"] and now)
    assert counted["failed"] == 0
    ended = stop.run({"endpoint": "rel"})
    assert ended["pid"] is None
    assert ended["by_status"] == {"200": ended["sent"]}
    assert stop.run({"endpoint": "rel"})["sent"] == ended["sent"]
    assert "traffic to rel" not in backend.parts()

    def all_of_it() -> bool:
        seen = [each for each in backend.predictions.read(cursor).observations if each.slices == {"language": "de"}]
        return len(seen) >= ended["sent"]

    until(all_of_it)


def test_a_language_falls_silent_while_the_others_go_on(backend: Backend) -> None:
    """Nothing is started again for that, nothing fails, and the others are as many a second as they were."""
    start = backend.actions["traffic-start"]
    whole = {"endpoint": "rel", "events": "spoken.jsonl", "rate": "100", "slices": "language=language"}
    told = start.run(whole)
    seen = _Seen(backend)
    assert set(seen.next(40)) == {"en", "pl"}
    without = start.run({"endpoint": "rel", "without": "language=pl"})
    assert (without["pid"], without["rate"], without["without"]) == (told["pid"], 100.0, "language=pl")
    until(lambda: set(silent := seen.next(60)) == {"en"} and _places(silent["en"]) == {0, 1})  # Each fourth stays empty.
    only = start.run({"endpoint": "rel", "only": "language=pl"})
    assert (only["pid"], only["without"], only["only"]) == (told["pid"], "", "language=pl")
    until(lambda: set(seen.next(10)) == {"pl"})
    again = start.run(whole)
    assert (again["pid"], again["only"]) == (told["pid"], "")
    until(lambda: set(seen.next(40)) == {"en", "pl"})
    ended = backend.actions["traffic-stop"].run({"endpoint": "rel"})
    assert ended["failed"] == 0


def test_up_brings_back_dead_servers_and_traffic_that_nobody_switched_off(backend: Backend) -> None:
    start, kill = backend.actions["traffic-start"], backend.actions["server-kill"]
    assert not kill.safe
    start.run({**GOOD, "without": "x=3"})
    before = backend.pid("v1")
    killed = kill.run({"endpoint": "rel"})
    assert (killed["variant"], killed["pid"]) == ("v1", before)  # The one with the most traffic.
    assert backend.parts()["rel v1"].state == "dead"
    with pytest.raises(NotFound, match="No server of v1 runs"):
        kill.run({"endpoint": "rel"})
    with pytest.raises(NotFound, match='no endpoint "other"'):
        kill.run({"endpoint": "other"})
    assert kill.run({"endpoint": "rel", "variant": "v2"})["variant"] == "v2"
    process = processes.find(backend.layout.replay_of("rel"))
    assert process is not None
    processes.send(process, signal.SIGKILL)
    assert processes.wait_gone(process, 5.0)
    backend.lifecycle.up()
    assert backend.pid("v1") != before
    assert {backend.parts()[name].state for name in ("rel v1", "rel v2", "traffic to rel")} == {"running"}
    told = backend.actions["traffic-status"].run({"endpoint": "rel"})
    assert (told["rate"], told["without"]) == (100.0, "x=3")
    backend.actions["traffic-stop"].run({"endpoint": "rel"})
    backend.lifecycle.up()
    assert "traffic to rel" not in backend.parts()


def test_a_redis_is_emptied_and_filled_again(backend: Backend) -> None:
    """What replaced our first user's cache, and the repair; neither needs the workspace's models to be there."""
    load, empty = backend.actions["service-load"], backend.actions["service-empty"]
    assert (load.safe, empty.safe) == (True, False)
    name = {"service": "embeddings"}
    assert empty.run(name) == {"service": "embeddings", "keys": 0, "before": 3}
    assert not backend.parts()["embeddings"].healthy
    filled = load.run(name)
    assert (filled["keys"], filled["before"], filled["wanted"]) == (3, 0, 3)
    assert isinstance(filled["milliseconds"], int)
    assert backend.parts()["embeddings"].healthy
    # A single word that is lost is written again too, and what others keep there stays.
    lifecycle = backend.lifecycle
    assert isinstance(lifecycle, Addresses)
    host, _, port = (lifecycle.address("embeddings") or "").partition(":")
    client = Redis(host, int(port))
    client.pipeline([(b"DEL", b"w:sea"), (b"SET", b"theirs", b"1")])
    assert load.run(name)["keys"] == 4
    assert client.pipeline([(b"EXISTS", b"w:sea"), (b"DEL", b"theirs")]) == [1, 1]
    client.close()
    assert lifecycle.address("other") is None
    for action in (load, empty):
        with pytest.raises(NotFound, match=r'no service "embedings" here\. Did you mean embeddings'):
            action.run({"service": "embedings"})


def test_a_dead_redis_is_started_and_filled_and_an_empty_one_is_filled_by_up(backend: Backend) -> None:
    process = processes.find(backend.layout.service("embeddings"))
    assert process is not None
    address = backend.lifecycle.address("embeddings")
    processes.send(process, signal.SIGKILL)
    assert processes.wait_gone(process, 5.0)
    with pytest.raises(Unavailable, match="was not emptied"):
        backend.actions["service-empty"].run({"service": "embeddings"})
    assert backend.actions["service-load"].run({"service": "embeddings"})["keys"] == 3
    assert backend.lifecycle.address("embeddings") == address
    backend.actions["service-empty"].run({"service": "embeddings"})
    backend.lifecycle.up()
    assert backend.parts()["embeddings"].healthy


def test_down_ends_the_traffic_first(backend: Backend) -> None:
    backend.actions["traffic-start"].run(GOOD)
    stopped = [part.name for part in backend.lifecycle.down()]
    assert "traffic to rel" in stopped
    assert backend.pids() == {}
    assert backend.lifecycle.up()  # It was not switched off, so it goes on with the servers.
    assert backend.parts()["traffic to rel"].state == "running"


class _Seen:
    """Which events were really asked about since the last time: language → their places in the replay's time."""

    def __init__(self, backend: Backend) -> None:
        self._predictions = backend.predictions
        self._cursor = self._predictions.cursor_at(backend.context.clock.now())

    def next(self, count: int) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}

        def enough() -> bool:
            page = self._predictions.read(self._cursor)
            self._cursor = page.cursor
            for one in page.observations:
                found.setdefault(one.slices["language"], []).append(int(one.request_id.split("-")[2]))
            return sum(map(len, found.values())) >= count

        until(enough)
        return found


def _places(numbers: list[int]) -> set[int]:
    """How many places were left empty between one request and the next."""
    ordered = sorted(numbers)
    return {later - earlier - 1 for earlier, later in pairwise(ordered)}
