"""Replayed traffic as actions: what they refuse, and that starting twice is starting once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from local.backend import V1, Backend
from local.kit import until
from mlconsole.plugin.errors import InvalidRequest, NotFound, Unavailable

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("local-actions")]

GOOD = {"endpoint": "rel", "events": "events.jsonl", "rate": "100"}


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "events.jsonl").write_text("".join(json.dumps({"id": n, "inputs": {"x": n, "language": "de"}}) + "\n" for n in range(20)))
    (folder / "bad.jsonl").write_text('{"id": 1, "inputs": {"x": 1}}\n{"id": 2}\n')
    (folder / "empty.jsonl").write_text("\n")
    made = Backend(folder)
    with pytest.raises(Unavailable, match="local up"):
        made.actions["traffic-start"].run(GOOD)
    made.serve(V1)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({}, "needs endpoint, events"),
        ({**GOOD, "speed": "1"}, "has no parameter speed. It has endpoint, events, rate, slices"),
        ({**GOOD, "rate": "fast"}, '"fast" is no number of requests a second'),
        ({**GOOD, "rate": "nan"}, "nan requests per second can't be sent"),
        ({**GOOD, "rate": "0"}, "0 requests per second can't be sent"),
        ({**GOOD, "rate": "5000"}, "at most 1000"),
        ({**GOOD, "slices": "language"}, '"language" does not name slices'),
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


def test_down_ends_the_traffic_first(backend: Backend) -> None:
    backend.actions["traffic-start"].run(GOOD)
    stopped = [part.name for part in backend.lifecycle.down()]
    assert "traffic to rel" in stopped
    assert backend.pids() == {}
