"""Observations: both logs joined by request id, each request once."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.kit import Load, Place, spec, until
from mlconsole.core.traffic import Shadow, SliceSplit, Traffic
from mlconsole.plugin.errors import InvalidRequest
from mlconsole.plugin.roles import Observation
from mlconsole_local.predictions import PredictionReader
from mlconsole_local.rotation import rotate
from mlconsole_local.routing import EndpointRouting
from mlconsole_local.state import ACCESS_LOG, PREDICTION_LOG, Layout, private
from mlconsole_local.tail import offsets_at, read

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Logs:
    """Both logs as the programs write them, with times from `T0` on."""

    def __init__(self, root: Path, t0: float) -> None:
        self.t0 = t0
        layout = Layout(root)
        self.access = private(layout.gateway) / ACCESS_LOG
        self.server = private(layout.variant("rel", "v1")) / PREDICTION_LOG
        self.reader = PredictionReader(root)

    def gateway(self, number: float, **more: Any) -> None:
        line = {
            "time": f"{self.t0 + number:.6f}", "request_id": f"id{number}", "method": "POST", "path": "/v2/models/rel/infer",
            "endpoint": "rel", "kind": "default", "split": "", "cluster": "rel/v1", "variant": "v1", "status": 200, "flags": "-",
            "details": "via_upstream", "ms": 1, "us": 1500, "probe": None,
            "slice0": "language=", "slice1": None, "slice2": None, "slice3": None,
        }  # fmt: skip
        self._append(self.access, {**line, **more})

    def predicted(self, number: float, **more: Any) -> None:
        line = {
            "time": self.t0 + number + 0.0005, "request_id": f"id{number}", "shadow": False, "probe": False, "slices": {"language": "de"},
            "input_hash": "h", "fields": {}, "output": {"score": 0.5}, "score": 0.5, "latency_ms": 0.4, "status": 200, "error": "",
        }  # fmt: skip
        self._append(self.server, {**line, **more})

    def both(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.predicted(number)
            self.gateway(number)

    @staticmethod
    def _append(path: Path, line: dict[str, Any]) -> None:
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def drain(reader: PredictionReader, cursor: str, limit: int = 10_000) -> tuple[list[Observation], str]:
    found: list[Observation] = []
    while True:
        page = reader.read(cursor, limit)
        found, cursor = [*found, *page.observations], page.cursor
        if page.at_end:
            return found, cursor


@pytest.fixture
def logs(root: Path) -> Logs:
    return Logs(root, float(int(time.time()) - 1000))


@pytest.fixture
def fresh(root: Path) -> Logs:
    return Logs(root, float(int(time.time()) - 1))


def ids(observations: Sequence[Observation]) -> list[str]:
    return [observation.request_id for observation in observations]


def test_what_the_consumer_got_and_what_was_predicted_are_one(logs: Logs) -> None:
    logs.both([1])
    (seen,), _ = drain(logs.reader, logs.reader.cursor_at(EPOCH))
    assert (seen.endpoint, seen.variant, seen.status, seen.milliseconds, seen.score) == ("rel", "v1", 200, 1.5, 0.5)
    assert (seen.slices, seen.split, seen.shadow, seen.error) == ({"language": "de"}, "", False, "")
    assert seen.time.timestamp() == pytest.approx(logs.t0 + 1)


def test_a_request_that_reached_no_server_is_an_error_of_its_variant(logs: Logs) -> None:
    logs.gateway(1, status=503, flags="UF", details="connection refused", slice0="language=pl")
    logs.gateway(2, status=404, cluster=None, variant=None, kind="unknown", details="direct_response")
    logs.gateway(3, status=0, us=None, ms=7, variant=None, details="downstream_remote_disconnect")
    logs.gateway(4, endpoint=None, path="/")
    logs.gateway(5, method="GET", path="/v2/models/rel")
    found, _ = drain(logs.reader, logs.reader.cursor_at(EPOCH))
    told = [(seen.status, seen.variant, seen.error, seen.score, seen.slices, seen.pinned, seen.milliseconds) for seen in found]
    assert told == [
        (503, "v1", "connection refused", None, {"language": "pl"}, False, 1.5),
        (404, None, "direct_response", None, {}, True, 1.5),
        (499, "v1", "the consumer hung up", None, {}, False, 7.0),
    ]


def test_the_servers_words_explain_a_failure(logs: Logs) -> None:
    logs.predicted(1, status=400, error='field "title_de" is missing', score=None, output=None)
    logs.gateway(1, status=400)
    (seen,), _ = drain(logs.reader, logs.reader.cursor_at(EPOCH))
    assert (seen.status, seen.error) == (400, 'field "title_de" is missing')


def test_each_once_over_rotation_at_every_moment(logs: Logs) -> None:
    cursor, found = logs.reader.cursor_at(EPOCH), list[Observation]()
    for number in range(200):
        logs.both([number])
        if number % 17 == 5:
            rotate(logs.access)
        if number % 23 == 7:
            rotate(logs.server)
        if number % 5 == 0:
            more, cursor = drain(logs.reader, json.loads(json.dumps(cursor)), limit=2)
            found += more
    more, cursor = drain(logs.reader, cursor)
    assert ids([*found, *more]) == [f"id{number}" for number in range(200)]
    assert all(seen.score == 0.5 for seen in [*found, *more])
    assert drain(logs.reader, cursor)[0] == []


def test_what_is_written_to_a_file_after_it_was_renamed_is_read(logs: Logs) -> None:
    logs.both([1])
    _, cursor = drain(logs.reader, logs.reader.cursor_at(EPOCH))
    rotate(logs.access)
    old, logs.access = logs.access, logs.access.with_name(f"{ACCESS_LOG}.1")
    logs.both([2])  # Envoy has not opened the new one yet.
    logs.access = old
    logs.both([3])
    assert ids(drain(logs.reader, cursor)[0]) == ["id2", "id3"]


def test_a_torn_line_is_left_until_it_is_whole_and_nonsense_is_passed_over(logs: Logs) -> None:
    logs.both([1])
    with logs.access.open("a") as file:
        file.write('nonsense\n[1]\n{"time": "x"}\n{"time": "1')
    found, cursor = drain(logs.reader, logs.reader.cursor_at(EPOCH))
    assert ids(found) == ["id1"]
    with logs.access.open("a") as file:
        file.write('"}\n')
    logs.both([2])
    assert ids(drain(logs.reader, cursor)[0]) == ["id2"]


def test_a_servers_line_waits_for_the_gateways(fresh: Logs) -> None:
    fresh.predicted(0)
    found, cursor = drain(fresh.reader, fresh.reader.cursor_at(EPOCH))
    assert found == []
    fresh.gateway(0)
    (seen,), cursor = drain(fresh.reader, cursor)
    assert (seen.request_id, seen.score) == ("id0", 0.5)
    assert drain(fresh.reader, cursor)[0] == []


def test_a_servers_line_stands_alone_when_the_gateway_was_killed(logs: Logs) -> None:
    logs.predicted(1)
    logs.predicted(2, request_id=None)
    logs.predicted(3, probe=True)
    (seen,), cursor = drain(logs.reader, logs.reader.cursor_at(EPOCH))
    assert (seen.request_id, seen.status, seen.milliseconds) == ("id1", 200, 0.4)
    logs.gateway(1)  # Late, but already told.
    assert drain(logs.reader, cursor)[0] == []


def test_a_server_that_finishes_after_the_time_out_is_not_told_twice(logs: Logs) -> None:
    logs.gateway(1, status=504, variant=None, details="response_timeout")
    (seen,), cursor = drain(logs.reader, logs.reader.cursor_at(EPOCH))
    assert (seen.status, seen.variant) == (504, "v1")
    logs.predicted(1)
    assert drain(logs.reader, cursor)[0] == []


def test_a_callers_id_used_twice_makes_two_observations(logs: Logs) -> None:
    for score in (0.1, 0.2):
        logs.predicted(1, score=score)
        logs.gateway(1)
    assert [seen.score for seen in drain(logs.reader, logs.reader.cursor_at(EPOCH))[0]] == [0.1, 0.2]


def test_copies_come_from_the_shadows_own_log(logs: Logs) -> None:
    logs.predicted(1, shadow=True, status=500, error="the model failed", score=None)
    (seen,), _ = drain(logs.reader, logs.reader.cursor_at(EPOCH))
    assert (seen.shadow, seen.request_id, seen.status, seen.error) == (True, "id1", 500, "the model failed")


def test_a_copy_is_told_when_its_original_is_known_or_has_had_its_time(fresh: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway writes its lines a little later than the servers theirs: a share of copies must not look too large meanwhile."""
    moment = fresh.t0 + 0.5
    monkeypatch.setattr("mlconsole_local.predictions.time.time", lambda: moment)
    fresh.predicted(0)
    fresh.predicted(0, shadow=True)
    found, cursor = drain(fresh.reader, fresh.reader.cursor_at(EPOCH))
    assert found == []
    fresh.gateway(0, ms=2)
    found, cursor = drain(fresh.reader, cursor)
    assert [(seen.request_id, seen.shadow, seen.score) for seen in found] == [("id0", False, 0.5), ("id0", True, 0.5)]
    fresh.predicted(0.1, shadow=True)  # Its original never comes.
    found, cursor = drain(fresh.reader, cursor)
    assert found == []
    moment = fresh.t0 + 1.2
    found, cursor = drain(fresh.reader, cursor)
    assert ids(found) == ["id0.1"]
    assert drain(fresh.reader, cursor)[0] == []


def test_copies_that_wait_do_not_slow_the_gateways_lines_down(fresh: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a server's log is rotated away before its lines are read, and with them the scores."""
    moment = fresh.t0 + 0.5
    monkeypatch.setattr("mlconsole_local.predictions.time.time", lambda: moment)
    for number in range(100):
        fresh.predicted(0.3 + number / 1000, shadow=True)
    _, cursor = drain(fresh.reader, fresh.reader.cursor_at(EPOCH), limit=10)
    for number in range(10):
        fresh.predicted(number / 1000)
        fresh.gateway(number / 1000)
    page = fresh.reader.read(cursor, 10)
    assert [(seen.request_id, seen.score) for seen in page.observations] == [(f"id{number / 1000}", 0.5) for number in range(10)]
    moment = fresh.t0 + 5
    assert len(drain(fresh.reader, page.cursor, limit=10)[0]) == 100


@pytest.mark.parametrize("limit", [1, 3, 4])
def test_a_page_holds_no_more_than_was_asked_for(logs: Logs, limit: int) -> None:
    """Copies, and what stands alone, have to find their place in it, too."""
    logs.both(range(10))
    for number in range(10):
        logs.predicted(number, shadow=True)
        logs.predicted(100 + number)
    cursor, found = logs.reader.cursor_at(EPOCH), list[Observation]()
    while True:
        page = logs.reader.read(cursor, limit)
        assert len(page.observations) <= limit
        found, cursor = [*found, *page.observations], page.cursor
        if page.at_end:
            break
    assert Counter((seen.request_id, seen.shadow) for seen in found) == Counter(
        [*((f"id{number}", shadow) for number in range(10) for shadow in (False, True)), *((f"id{100 + n}", False) for n in range(10))]
    )
    assert len(cursor) < 4000
    assert drain(logs.reader, cursor)[0] == []


def test_starting_in_the_middle_is_exact_and_cheap(logs: Logs) -> None:
    logs.both(range(300))
    rotate(logs.access)
    logs.both(range(300, 600))
    moment = datetime.fromtimestamp(logs.t0 + 450, UTC)
    offsets = offsets_at(logs.access, logs.t0 + 450)
    assert [line.value["request_id"] for line in read(logs.access, offsets, 1).lines] == ["id450"]
    found, _ = drain(logs.reader, logs.reader.cursor_at(moment), limit=7)
    assert ids(found) == [f"id{number}" for number in range(450, 600)]
    assert drain(logs.reader, logs.reader.cursor_at(moment + timedelta(hours=1)))[0] == []


def test_many_server_lines_hold_the_gateways_back(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlconsole_local.predictions._SERVER_LINES", 10)
    logs.both(range(100))
    found, _ = drain(logs.reader, logs.reader.cursor_at(EPOCH))
    assert ids(found) == [f"id{number}" for number in range(100)]
    assert all(seen.score == 0.5 for seen in found)


def test_a_foreign_cursor_is_refused(logs: Logs) -> None:
    for text in ("", "{}", '{"schema": 2}', "[]"):
        with pytest.raises(InvalidRequest):
            logs.reader.read(text)


@pytest.mark.real
def test_real_traffic_over_real_rotations(root: Path) -> None:
    """Every request once, with its variant and score, while both programs rotate their logs; copies are paired by id."""
    place = Place(root, log_bytes=30_000)
    try:
        shadowed = Traffic({"v1": 5000, "v2": 5000, "v3": 0}, (SliceSplit("language", "de", {"v2": 10_000}),), Shadow("v3", 10_000))
        specs = [spec("v1", log_bytes=40_000), spec("v2", "triple.onnx", log_bytes=40_000), spec("v3", "triple.onnx")]
        place.up(specs, lambda ports: EndpointRouting("rel", ports, shadowed, slice_keys=("language",)))
        reader = PredictionReader(root)
        cursor = reader.cursor_at(datetime.now(UTC))
        found: list[Observation] = []
        client = place.client()
        client.infer(headers={"x-request-id": "german", "x-slice-language": "de"})
        client.infer(headers={"x-request-id": "pinned", "x-mlconsole-variant": "v1"})
        client.infer(headers={"x-request-id": "probe", "x-mlconsole-variant": "v3", "x-mlconsole-probe": "1"})
        client.infer(headers={"x-request-id": "wrong", "host": "rel-shadow"}, inputs=b"{}")
        access = Layout(root).gateway / f"{ACCESS_LOG}.1"
        with Load(place.port, consumers=1) as load:

            def rotated() -> bool:
                nonlocal cursor
                page = reader.read(cursor, 50)
                found.extend(page.observations)
                cursor = page.cursor
                return access.exists() and load.sent > 250

            until(rotated)
        asked = 4 + load.sent

        def complete() -> bool:
            nonlocal cursor
            more, cursor = drain(reader, cursor)
            found.extend(more)
            return sum(not seen.shadow for seen in found) >= asked and sum(seen.shadow for seen in found) >= asked - 2

        until(complete)
        own = [seen for seen in found if not seen.shadow]
        copies = [seen for seen in found if seen.shadow]
        assert len(own) == len(set(ids(own))) == asked
        assert set(ids(copies)) == set(ids(own)) - {"pinned", "probe"}
        assert {(seen.variant, seen.score) for seen in own if seen.status == 200} == {("v1", 4.0), ("v2", 6.0), ("v3", 6.0)}
        assert {seen.variant for seen in copies} == {"v3"}
        assert Counter(seen.status for seen in own) == {200: asked - 1, 400: 1}
        by_id = {seen.request_id: seen for seen in own}
        assert (by_id["german"].variant, by_id["german"].split, by_id["german"].slices) == ("v2", "language=de", {"language": "de"})
        assert (by_id["pinned"].pinned, by_id["probe"].probe, by_id["probe"].variant) == (True, True, "v3")
    finally:
        place.down()
