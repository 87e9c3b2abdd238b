"""How far captured data were read: each line once, in whatever order its file comes, at whatever place a page ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aws.capture_kit import BUCKET, URI, all_of, ids, key, line
from mlconsole.plugin import Context
from mlconsole.plugin.errors import Conflict, InvalidRequest, NotFound, Refused, Throttled
from mlconsole.plugin.simulator import ManualClock
from mlconsole_aws import capture, capture_cursor
from mlconsole_aws.capture import CapturedPredictions
from mlconsole_aws.capture_cursor import Cursor, File, hour_of, mark, time_of
from mlconsole_aws.capture_words import widest_gap

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Bucket:
    """S3 and SageMaker as far as captured data are concerned, in memory: strongly consistent, as S3 is."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.files = clock, dict[str, tuple[bytes, datetime]]()
        self.section_of: Mapping[str, Any] = {"capture": URI}
        self.calls: list[str] = []
        self.fails: Callable[[str, Mapping[str, Any]], None] = lambda operation, parameters: None

    def section(self, name: str) -> Mapping[str, Any]:
        return self.section_of if name == "sagemaker" else {}

    def put(self, name: str, *lines: str | bytes) -> None:
        self.files[name] = b"".join(one if isinstance(one, bytes) else one.encode() for one in lines), self.clock.now()

    def call(self, service: str, operation: str, *, change: bool = False, **parameters: Any) -> dict[str, Any]:
        self.calls.append(operation)
        self.fails(operation, parameters)
        if operation == "get_object":
            if parameters["Key"] not in self.files:
                raise NotFound("gone")
            body = self.files[parameters["Key"]][0]
            if "IfMatch" in parameters and parameters["IfMatch"] != mark(repr(body)):
                raise Conflict("another file")
            start = int(parameters.get("Range", "bytes=0-")[6:-1])
            return {"Body": Body(body[start:])}
        if operation == "describe_endpoint":
            raise NotFound("no endpoint")
        raise AssertionError(operation)

    def pages(self, service: str, operation: str, key_: str, *, token: str = "", **parameters: Any) -> Iterator[dict[str, Any]]:
        self.calls.append(operation)
        self.fails(operation, parameters)
        names = sorted(name for name in self.files if name.startswith(parameters["Prefix"]) and name > parameters.get("StartAfter", ""))
        if "Delimiter" in parameters:
            rests = (name[len(parameters["Prefix"]) :] for name in names)
            yield from ({"Prefix": f"{parameters['Prefix']}{folder}/"} for folder in dict.fromkeys(one.split("/")[0] for one in rests))
            return
        for name in names:
            body, modified = self.files[name]
            yield {"Key": name, "Size": len(body), "ETag": mark(repr(body)), "LastModified": modified}


class Body:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        yield from (self.content[place : place + 37] for place in range(0, len(self.content), 37))

    def close(self) -> None:
        pass


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def bucket(clock: ManualClock) -> Bucket:
    return Bucket(clock)


@pytest.fixture
def reader(bucket: Bucket, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], CapturedPredictions]:
    monkeypatch.setattr(capture, "clients_of", lambda context: bucket)
    return lambda: CapturedPredictions(Context("staging", tmp_path, tmp_path, {}, clock))


Make = Callable[[], CapturedPredictions]


def test_a_cursor_is_a_text_and_comes_back_as_it_was() -> None:
    state = Cursor.at(NOON)
    file = File("relevance/v6", "2026/11/20/11/04-05-000-a.jsonl", NOON, "e", 3, NOON)
    state.add(file)
    state.saw("relevance/v6", NOON + timedelta(minutes=7))
    state.late["2026/11/20/11"], state.garbage, state.lost = 240, 3, 1
    again = Cursor.of(state.text())
    assert again == state
    assert again.has(file)
    assert not again.has(file._replace(key="2026/11/20/11/04-05-000-b.jsonl"))
    assert again.has(file._replace(key="2026/11/20/10/59-59-999-b.jsonl")), "its hour is closed"


@pytest.mark.parametrize("text", ["", "x", "null", "[]", "{}", '{"schema": 2}', '{"schema":1,"since":0,"floor":"now","read":{}}'])
def test_another_text_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Cursor.of(text)


def test_half_a_mark_is_no_cursor() -> None:
    body = json.loads(Cursor.at(NOON).text())
    with pytest.raises(InvalidRequest):
        Cursor.of(json.dumps({**body, "read": {"relevance/v6": {"2026/11/20/11": "abc"}}}))


def test_keys() -> None:
    assert time_of("2026/11/20/15/04-05-067-5a1f.jsonl") == datetime(2026, 11, 20, 15, 4, 5, 67_000, tzinfo=UTC)
    for other in ("2026/11/20/15/", "2026/11/20/15/x.jsonl", "2026/13/20/15/04-05-067-5a1f.jsonl", "2026/11/20/15/04-05-067-5a1f.csv", "a"):
        assert time_of(other) is None, other


def test_hours_are_closed_three_hours_behind_and_the_cursor_stays_small() -> None:
    state = Cursor.at(NOON)
    for number in range(600):
        time = NOON + timedelta(minutes=number)
        state.add(File("relevance/v6", f"{time:%Y/%m/%d/%H/%M-%S}-000-{number}.jsonl", time, "e", 3, time))
        state.close_before(time)
    assert state.floor == "2026/11/20/18"
    assert sum(len(marks) for marks in state.read["relevance/v6"].values()) == 240
    assert len(state.text()) < 240 * 8 + 400


def test_too_many_files_close_hours_early_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_cursor, "MOST_MARKS", 100)
    state = Cursor.at(NOON)
    for number in range(150):
        time = NOON + timedelta(minutes=number)
        state.add(File("relevance/v6", f"{time:%Y/%m/%d/%H/%M-%S}-000-{number}.jsonl", time, "e", 3, time))
        state.close_before(time)
    assert (state.floor, state.early) == ("2026/11/20/13", "2026/11/20/12")
    assert sum(len(marks) for marks in state.read["relevance/v6"].values()) == 90


def test_late_files_are_read_once_and_nothing_twice(bucket: Bucket, reader: Make, clock: ManualClock) -> None:
    mine = reader()
    cursor = mine.cursor_at(NOON - timedelta(minutes=30))
    bucket.put(key("relevance/v6", NOON, 1), line("a", NOON), line("b", NOON))
    found, cursor = all_of(mine, cursor)
    assert ids(found) == ["a", "b"]
    clock.advance(5400)
    bucket.put(key("relevance/v6", NOON + timedelta(hours=1), 2), line("c", NOON + timedelta(hours=1)))
    bucket.put(key("relevance/v6", NOON + timedelta(minutes=2), 3), line("late", NOON + timedelta(minutes=3)))
    found, cursor = all_of(reader(), cursor)  # another process goes on from there
    assert ids(found) == ["c", "late"]
    clock.advance(60)
    assert all_of(reader(), cursor)[0] == []


def test_nothing_before_the_cursors_time_is_told(bucket: Bucket, reader: Make) -> None:
    bucket.put(
        key("relevance/v6", NOON - timedelta(hours=1), 1),
        line("old", NOON - timedelta(minutes=31)),
        line("new", NOON - timedelta(minutes=29)),
    )
    assert ids(all_of(reader(), reader().cursor_at(NOON - timedelta(minutes=30)))[0]) == ["new"]


def test_a_page_ends_within_a_file_and_another_process_goes_on(bucket: Bucket, reader: Make) -> None:
    names = [f"r{number:03}" for number in range(25)]
    bucket.put(key("relevance/v6", NOON, 1), *(line(name, NOON) for name in names[:-1]), line(names[-1], NOON).rstrip("\n"))
    cursor, found = reader().cursor_at(NOON), []
    for _ in range(9):
        page = reader().read(cursor, 3)
        found += page.observations
        cursor = page.cursor
    assert [one.request_id for one in found] == names
    assert page.at_end


def test_garbage_is_counted_and_said_and_the_rest_is_read(bucket: Bucket, reader: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_LONGEST", 2000)
    huge = b'{"captureData": "' + b"x" * 5000 + b'"}\n'
    bucket.put(key("relevance/v6", NOON, 1), "no json\n", line("a", NOON), huge, b"\xff\n", "\n", line("b", NOON), huge.rstrip())
    found, cursor = all_of(reader(), reader().cursor_at(NOON))
    assert ids(found) == ["a", "b"]
    assert reader().coverage(cursor).trouble == ("4 captured lines could not be understood (no JSON, no time, or no data)",)


def test_a_key_of_a_time_to_come_does_not_close_what_is_now(bucket: Bucket, reader: Make, clock: ManualClock) -> None:
    bucket.put(key("relevance/v6", NOON + timedelta(days=400), 1), line("nonsense", NOON))
    bucket.put(key("relevance/v6", NOON, 2), line("a", NOON))
    found, cursor = all_of(reader(), reader().cursor_at(NOON))
    assert ids(found) == ["a"]
    clock.advance(60)
    bucket.put(key("relevance/v6", NOON, 3), line("b", NOON))
    assert ids(all_of(reader(), cursor)[0]) == ["b"]


def test_other_things_below_the_prefix_are_left_alone(bucket: Bucket, reader: Make) -> None:
    bucket.put(f"{BUCKET}/x.jsonl", "x")
    bucket.put(key("relevance/v6", NOON, 1).replace(".jsonl", ".csv"), "x")
    bucket.put(key("relevance/v6", NOON, 2))  # empty
    bucket.put(key("relevance/v6", NOON, 3), line("a", NOON))
    found, cursor = all_of(reader(), reader().cursor_at(NOON))
    assert ids(found) == ["a"]
    assert reader().coverage(cursor).trouble == ()


def test_trouble_in_the_middle_loses_nothing_and_doubles_nothing(bucket: Bucket, reader: Make, clock: ManualClock) -> None:
    names = [f"r{number:03}" for number in range(12)]
    for number, name in enumerate(names):
        bucket.put(key(f"relevance/v{number % 2}", NOON + timedelta(seconds=number), number), line(name, NOON), line(f"{name}+", NOON))
    cursor, found, turns = reader().cursor_at(NOON), [], 0

    def now_and_then(operation: str, parameters: Mapping[str, Any]) -> None:
        nonlocal turns
        turns += 1
        if turns % 3 == 0:
            raise Throttled("too fast")

    bucket.fails = now_and_then
    mine, at_end = reader(), False
    while not at_end:
        try:
            page = mine.read(cursor, 5)
        except Throttled:
            assert turns < 500
            continue
        found += page.observations
        cursor, at_end = page.cursor, page.at_end
    assert ids(found) == sorted([*names, *(f"{name}+" for name in names)])


def test_a_file_that_may_not_be_read_holds_up_nothing_and_is_read_later(bucket: Bucket, reader: Make, clock: ManualClock) -> None:
    locked = key("relevance/v6", NOON, 1)
    bucket.put(locked, line("locked", NOON))
    bucket.put(key("relevance/v6", NOON, 2), line("a", NOON))

    def deny(operation: str, parameters: Mapping[str, Any]) -> None:
        if parameters.get("Key") == locked:
            raise Refused("AWS does not allow that: kms:Decrypt.")

    bucket.fails = deny
    mine = reader()
    found, cursor = all_of(mine, mine.cursor_at(NOON))
    assert ids(found) == ["a"]
    assert mine.coverage(cursor).trouble == ("1 captured file can't be read: AWS does not allow that: kms:Decrypt.",)
    bucket.fails = lambda operation, parameters: None
    clock.advance(700)
    assert ids(all_of(mine, cursor)[0]) == ["locked"]


def test_a_file_that_changed_or_went_while_it_was_read(bucket: Bucket, reader: Make, clock: ManualClock) -> None:
    name = key("relevance/v6", NOON, 1)
    for other in (None, "x\n"):
        bucket.files.clear()
        bucket.put(name, line("a", NOON), line("b", NOON))
        page = reader().read(reader().cursor_at(NOON), 1)
        assert ids(page.observations) == ["a"]
        bucket.files.clear()
        if other:
            bucket.put(name, other)
        found, cursor = all_of(reader(), page.cursor)
        assert found == []
        assert reader().coverage(cursor).trouble == ("1 captured file changed or went away before the end was read",)


def test_looking_again_at_once_asks_nobody_and_quiet_folders_are_asked_seldom(bucket: Bucket, reader: Make, clock: ManualClock) -> None:
    for number in range(20):
        bucket.put(key(f"old-{number}/v1", NOON - timedelta(days=2), number), line("x", NOON - timedelta(days=2)))
    bucket.put(key("relevance/v6", NOON, 1), line("a", NOON))
    mine = reader()
    _, cursor = all_of(mine, mine.cursor_at(NOON))
    bucket.calls.clear()
    assert mine.read(cursor).at_end
    assert bucket.calls == []
    clock.advance(31)
    assert mine.read(cursor).at_end
    assert bucket.calls.count("list_objects_v2") == 1, "only the folder in which something was new of late"


def test_several_who_read_in_turn_each_ask_seldom(bucket: Bucket, reader: Make, clock: ManualClock) -> None:
    """The screen has a cursor of its own beside that of the store: in turn, neither may make the other look anew each second."""
    bucket.put(key("relevance/v6", NOON, 1), line("a", NOON))
    mine = reader()
    cursors = [all_of(mine, mine.cursor_at(NOON - timedelta(minutes=minutes)))[1] for minutes in (1, 2)]
    bucket.calls.clear()
    for _ in range(5):
        clock.advance(1)
        assert all(mine.read(cursor).at_end for cursor in cursors)
    assert bucket.calls == []


def test_more_files_than_are_listed_at_a_time(bucket: Bucket, reader: Make, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> None:
    monkeypatch.setattr(capture, "_MOST_FILES", 4)
    wanted = []
    for number in range(30):
        time = NOON - timedelta(hours=20) + timedelta(minutes=37 * number)
        # Read before its time, what is young in one folder would close the hours of what is not listed yet in the other.
        for stream in ("relevance/v6", "relevance/v7")[: 1 + (number > 20)]:
            wanted.append(f"{stream}{number}")
            bucket.put(key(stream, time, number), line(wanted[-1], time))
    found, _ = all_of(reader(), reader().cursor_at(NOON - timedelta(hours=21)), 3)
    assert ids(found) == sorted(wanted)


def test_one_reader_serves_several_cursors(bucket: Bucket, reader: Make, clock: ManualClock) -> None:
    bucket.put(key("relevance/v6", NOON - timedelta(hours=2), 1), line("a", NOON - timedelta(hours=2)))
    bucket.put(key("relevance/v7", NOON, 2), line("b", NOON))
    mine = reader()
    start = mine.cursor_at(NOON - timedelta(hours=3))
    found, end = all_of(mine, start)
    assert ids(found) == ["a", "b"]
    clock.advance(40)
    assert all_of(mine, end)[0] == []  # by now v6 is quiet
    assert ids(all_of(mine, start)[0]) == ["a", "b"]
    assert all_of(mine, end)[0] == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_arrival_gives_each_line_once(data: st.DataObject, tmp_path: Path) -> None:
    """Files come in any order, up to nearly three hours late, while pages of any size are read by one reader, or a new one each time."""
    clock = ManualClock(NOON)
    bucket = Bucket(clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capture, "clients_of", lambda context: bucket)

        def make() -> CapturedPredictions:
            return CapturedPredictions(Context("staging", tmp_path, tmp_path, {}, clock))

        mine = make()
        cursor = mine.cursor_at(NOON)
        made = data.draw(
            st.lists(
                st.tuples(
                    st.integers(0, 300), st.integers(0, 170), st.integers(1, 5), st.sampled_from(["relevance/v6", "relevance/v7", "x/v1"])
                ),
                max_size=25,
            ),
            "minute, late by minutes, lines, folder",
        )
        arrivals = sorted((minute + late, place) for place, (minute, late, _, _) in enumerate(made))
        found, wanted = [], []
        for minute in range(0, 480, data.draw(st.integers(1, 40), "minutes between looks")):
            while arrivals and arrivals[0][0] <= minute:
                _, place = arrivals.pop(0)
                begin, _, count, stream = made[place]
                time = NOON + timedelta(minutes=begin)
                names = [f"{place}-{number}" for number in range(count)]
                wanted += names
                bucket.put(key(stream, time, place), *(line(name, time + timedelta(seconds=30)) for name in names))
            clock.advance((NOON + timedelta(minutes=minute) - clock.now()).total_seconds())
            if data.draw(st.booleans(), "another process"):
                mine = make()
            for _ in range(data.draw(st.integers(1, 6), "pages")):
                page = mine.read(cursor, data.draw(st.integers(1, 6), "lines"))
                found += page.observations
                cursor = page.cursor
        clock.advance(700)  # quiet folders are looked into again
        found += all_of(mine, cursor)[0]
        assert ids(found) == sorted(wanted)


def test_gaps_are_where_something_used_to_come() -> None:
    def gap(minutes: list[int]) -> tuple[int, int] | None:
        hours: dict[str, int] = {}
        for minute in minutes:
            time = NOON + timedelta(minutes=minute)
            hours[hour_of(time)] = hours.get(hour_of(time), 0) | 1 << time.minute
        found = widest_gap(hours)
        return None if found is None else (int((found[0] - NOON).total_seconds() // 60), int((found[1] - NOON).total_seconds() // 60))

    assert gap([*range(40), *range(75, 100)]) == (40, 75)
    assert gap([*range(40), *range(50, 100)]) is None, "ten minutes are nothing"
    assert gap([0, 40, 90]) is None, "there is hardly any traffic"
    assert gap([*range(100)]) is None
    assert gap([5]) is None
    assert gap([]) is None


def test_a_late_file_fills_the_gap(bucket: Bucket, reader: Make, clock: ManualClock) -> None:
    def minutes(begin: int, end: int, number: int) -> None:
        times = [NOON + timedelta(minutes=minute) for minute in range(begin, end)]
        bucket.put(key("relevance/v6", times[0], number), *(line(f"{number}-{time:%M}", time) for time in times))

    cursor = reader().cursor_at(NOON)
    clock.advance(5400)
    minutes(0, 20, 1)
    minutes(45, 80, 2)
    _, cursor = all_of(reader(), cursor)
    (told,) = [note for note in reader().coverage(cursor).notes if "nothing" in note]
    begin, end = (f"{(NOON + timedelta(minutes=minute)).astimezone():%H:%M}" for minute in (20, 45))
    assert told == f"nothing of relevance/v6 was captured from {begin} to {end}"
    minutes(20, 45, 3)
    clock.advance(60)
    _, cursor = all_of(reader(), cursor)
    assert not [note for note in reader().coverage(cursor).notes if "nothing" in note]
    assert "captured predictions came up to 1 h 30 late" in reader().coverage(cursor).notes


def test_without_a_place_nothing_is_read(bucket: Bucket, reader: Make) -> None:
    for place in ("", "captured/models", "s3://"):
        bucket.section_of = {"capture": place}
        with pytest.raises(Exception, match="is not said"):
            reader()
