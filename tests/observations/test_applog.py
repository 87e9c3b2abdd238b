"""Application logs: each line once, however the files are renamed, copied and truncated, and nothing passed over in silence."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlconsole.observations import ApplicationLog, Store, application_log, files
from mlconsole.plugin.errors import InvalidRequest, Refused, Unavailable
from mlconsole.plugin.roles import Observation, Predictions
from observations.samples import T0, SetClock, feed, one

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
FIELDS = {"time": "ts", "request_id": "http.rid", "status": "http.code", "milliseconds": "ms", "error": "err"}


def line(number: float = 0, **more: Any) -> dict[str, Any]:
    return {"ts": T0 + number, "http": {"rid": f"id{number:g}", "code": 200}, "ms": 7, "lang": "de", **more}


def append(path: Path, *lines: dict[str, Any] | str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines((one if isinstance(one, str) else json.dumps(one) + "\n") for one in lines)


class Clock(SetClock):
    def now(self) -> datetime:
        return datetime.fromtimestamp(T0 + 10_000, UTC)


def reader(folder: Path, pattern: str = "app*.jsonl", **more: Any) -> ApplicationLog:
    return application_log(
        "relevance", str(folder / pattern), **{"fields": FIELDS, "slices": {"language": "lang"}, "clock": Clock(), **more}
    )


def drain(log: ApplicationLog, cursor: str, limit: int = 3) -> tuple[list[Observation], str]:
    found: list[Observation] = []
    for _ in range(10_000):
        page = log.read(cursor, limit)
        assert len(page.observations) <= limit
        found, cursor = [*found, *page.observations], page.cursor
        if page.at_end:
            return found, cursor
    raise AssertionError("it never ends")


def ids(observations: Sequence[Observation]) -> list[str]:
    return [seen.request_id for seen in observations]


def told(tmp_path: Path, *lines: dict[str, Any] | str, **more: Any) -> list[Observation]:
    append(tmp_path / "app.jsonl", *lines)
    log = reader(tmp_path, **more)
    return drain(log, log.cursor_at(EPOCH))[0]


def test_a_line_is_an_observation_of_an_application(tmp_path: Path) -> None:
    (seen,) = told(tmp_path, line(1, err=None))
    assert seen == Observation(
        "relevance", None, "id1", datetime.fromtimestamp(T0 + 1, UTC), 200, 7.0, slices={"language": "de"}, application=True
    )
    assert isinstance(reader(tmp_path), Predictions)


@pytest.mark.parametrize(
    "time",
    [T0, T0 * 1000, T0 * 1e6, T0 * 1_000_000_000, str(T0), datetime.fromtimestamp(T0, UTC).isoformat().replace("+00:00", "Z"),
     datetime.fromtimestamp(T0, UTC).isoformat()[:19]],
)  # fmt: skip
def test_times_of_every_sort(tmp_path: Path, time: Any) -> None:
    (seen,) = told(tmp_path, line(ts=time))
    assert seen.time.timestamp() == T0


@pytest.mark.parametrize(
    ("given", "status"),
    [(503, 503), ("404", 404), ("200 OK", 200), ("OK", 200), ("error", 500), ("Timeout", 500), (True, 200), (False, 500), (0, 0),
     ("rate_limited", 429), (429.0, 429)],
)  # fmt: skip
def test_a_status_is_a_number_or_a_word(tmp_path: Path, given: Any, status: int) -> None:
    (seen,) = told(tmp_path, line(http={"code": given}))
    assert seen.status == status


def test_without_a_status_an_error_is_one(tmp_path: Path) -> None:
    lines = [line(1, http={}, err={"kind": "no title"}), line(2, http={}, err=""), line(3, http={}, level="debug")]
    assert [(seen.status, seen.error) for seen in told(tmp_path, *lines)] == [(500, '{"kind": "no title"}')]
    log = reader(tmp_path, fields={"time": "ts", "error": "err"})
    found, cursor = drain(log, log.cursor_at(EPOCH))
    assert [seen.status for seen in found] == [500, 200, 200]
    assert log.passed(cursor) == (0, 0)


def test_what_is_not_there_is_not_guessed(tmp_path: Path, store: Store) -> None:
    (seen,) = told(tmp_path, {"ts": T0, "http.code": 200, "lang": None})
    assert math.isnan(seen.milliseconds)
    assert (seen.slices, seen.request_id, seen.score, seen.error) == ({}, "", None, "")
    feed(store, [seen])
    assert one(store, variant="(application)").latency == {}
    assert [math.isnan(row.ms) for row in store.rows("staging", "relevance", T0, T0 + 1)] == [True]


def test_labels_need_not_be_texts(tmp_path: Path) -> None:
    seen = told(tmp_path, line(lang=7), line(lang=True), line(lang=2.5), line(lang=["a"]))
    assert [one.slices["language"] for one in seen] == ["7", "true", "2.5", '["a"]']


def test_garbage_is_passed_over_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LONGEST", 1000)
    garbage = [
        "\n",
        "nonsense\n",
        "[1]\n",
        '{"ts": "yesterday"}\n',
        '{"ts": null}\n',
        line(ts=1e30),
        line(http={"code": "?"}),
        line(20_000),
    ]
    too_long = line(2, err="x" * 5000)
    append(tmp_path / "app.jsonl", line(1), *garbage, too_long, line(3), line(4, http={"rid": "only a note"}), "[" * 900 + "\n", line(5))
    log = reader(tmp_path)
    found, cursor = drain(log, log.cursor_at(EPOCH), limit=2)
    assert ids(found) == ["id1", "id3", "id5"]
    assert log.passed(cursor) == (len(garbage) + 2, 1)
    found, cursor = drain(log, cursor)
    assert (found, log.passed(cursor)) == ([], (len(garbage) + 2, 1))


def test_half_a_line_waits_for_its_other_half_and_a_too_long_one_is_gone_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LONGEST", 1000)
    path, log = tmp_path / "app.jsonl", reader(tmp_path)
    append(path, line(1), json.dumps(line(2))[:20])
    found, cursor = drain(log, log.cursor_at(EPOCH))
    assert ids(found) == ["id1"]
    append(path, json.dumps(line(2))[20:] + "\n" + "y" * 2500)
    found, cursor = drain(log, cursor)
    assert ids(found) == ["id2"]
    assert json.loads(cursor)["files"][0][1] >= path.stat().st_size - 1000
    append(path, "y" * 700 + "\n", line(3))
    found, cursor = drain(log, cursor)
    assert (ids(found), log.passed(cursor)) == (["id3"], (1, 0))


def test_it_starts_in_the_middle(tmp_path: Path) -> None:
    append(tmp_path / "app.jsonl", *(line(number) for number in range(2000)), "nonsense\n", *(line(number) for number in range(2000, 4000)))
    append(tmp_path / "app2.jsonl", *(line(10_000 + number) for number in range(5)))
    log = reader(tmp_path)
    cursor = log.cursor_at(datetime.fromtimestamp(T0 + 2500, UTC))
    assert sorted(at for _, at, _, _ in json.loads(cursor)["files"])[-1] > 150_000
    assert sorted(ids(drain(log, cursor, 100)[0])) == sorted(
        [*(f"id{n}" for n in range(2500, 4000)), *(f"id{n}" for n in range(10_000, 10_005))]
    )
    assert drain(log, log.cursor_at(datetime.fromtimestamp(T0 + 20_000, UTC)))[0] == []


def test_a_log_that_comes_later_or_never(tmp_path: Path) -> None:
    log = reader(tmp_path / "later")
    found, cursor = drain(log, log.cursor_at(EPOCH))
    assert found == []
    (tmp_path / "later" / "app-folder.jsonl").mkdir(parents=True)
    append(tmp_path / "later" / "app.jsonl", line(1))
    append(tmp_path / "later" / "app.jsonl.1.gz", line(2))
    assert ids(drain(log, cursor)[0]) == ["id1"]


def test_files_take_turns(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        append(tmp_path / f"app-{name}.jsonl", *(line(number, lang=name) for number in range(20)))
    log = reader(tmp_path)
    cursor, seen = log.cursor_at(EPOCH), []
    for _ in range(4):
        page = log.read(cursor, 3)
        cursor = page.cursor
        seen += [one.slices["language"] for one in page.observations]
    assert set(seen) == {"a", "b", "c"}
    rest, _ = drain(log, cursor, 7)
    assert len(rest) + len(seen) == 60


def test_two_files_that_begin_alike_are_two(tmp_path: Path) -> None:
    for name in ("a", "b"):
        append(tmp_path / f"app-{name}.jsonl", '{"ts": 1, "msg": "started"}\n')
    log = reader(tmp_path)
    _, cursor = drain(log, log.cursor_at(EPOCH))
    append(tmp_path / "app-a.jsonl", line(1))
    append(tmp_path / "app-b.jsonl", line(2))
    found, cursor = drain(log, cursor)
    append(tmp_path / "app-a.jsonl", line(3))
    append(tmp_path / "app-b.jsonl", line(4))
    more, _ = drain(log, cursor)
    assert sorted(ids([*found, *more])) == ["id1", "id2", "id3", "id4"]


def test_files_that_may_not_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path / "app.jsonl", line(1))
    log = reader(tmp_path)
    cursor = log.cursor_at(EPOCH)
    for error, told in ((PermissionError(13, "Permission denied"), Refused), (OSError(24, "Too many open files"), Unavailable)):

        def failing(*_: object, error: OSError = error) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", failing)
            with pytest.raises(told, match=str(tmp_path)):
                log.read(cursor)
    assert ids(drain(log, cursor)[0]) == ["id1"]


def test_a_foreign_cursor_is_refused(tmp_path: Path) -> None:
    for text in ("", "{}", '{"schema": 2}', "[]", '{"schema":1,"since":1,"files":[[1]],"passed":[0,0]}'):
        with pytest.raises(InvalidRequest):
            reader(tmp_path).read(text)


STEPS = st.lists(
    st.sampled_from(
        ["write", "write", "write", "rename", "copy and truncate", "copy", "second file", "half", "read", "read a little", "pack"]
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, alike=st.booleans())
def test_each_line_once_whatever_happens_to_the_files(tmp_path_factory: pytest.TempPathFactory, steps: list[str], alike: bool) -> None:
    """What logrotate does: rename, copy and truncate (after we have read to the end, else it would lose lines by itself), pack."""
    folder = tmp_path_factory.mktemp("logs")
    path, other, log = folder / "app.jsonl", folder / "app-other.jsonl", reader(folder)
    cursor, found, written, number, half = log.cursor_at(EPOCH), list[Observation](), list[str](), 0, ""

    def begin(file: Path) -> None:
        if alike and (not file.exists() or not file.stat().st_size):
            append(file, '{"msg": "started"}\n')

    def write(file: Path) -> None:
        nonlocal number
        begin(file)
        append(file, line(number))
        written.append(f"id{number}")
        number += 1

    def rename() -> None:
        for place in range(20, 0, -1):
            if (old := folder / f"app.jsonl.{place}").exists():
                old.rename(folder / f"app.jsonl.{place + 1}")
        if path.exists():
            path.rename(folder / "app.jsonl.1")

    for step in steps:
        if half and step not in ("read", "read a little", "copy"):
            append(path, half)
            half = ""
        if step == "write":
            write(path)
            write(path)
        elif step == "second file":
            write(other)
        elif step == "half":
            begin(path)
            whole = json.dumps(line(number)) + "\n"
            append(path, whole[:30])
            half = whole[30:]
            written.append(f"id{number}")
            number += 1
        elif step == "rename":
            rename()
        elif step in ("copy", "copy and truncate") and path.exists():
            copy = folder / f"app.jsonl-{number}"
            body = path.read_bytes()
            copy.write_bytes(body[: len(body) // 2])
            more, cursor = drain(log, cursor)
            found += more
            shutil.copyfile(path, copy)
            more, cursor = drain(log, cursor)
            found += more
            if step == "copy and truncate":
                path.write_bytes(b"")
            else:
                copy.unlink()
        elif step == "pack" and (folder / "app.jsonl.2").exists():
            more, cursor = drain(log, cursor)
            found += more
            (folder / "app.jsonl.2").rename(folder / "app.jsonl.2.gz")
        elif step == "read":
            more, cursor = drain(log, json.loads(json.dumps(cursor)))
            found += more
        elif step == "read a little":
            page = log.read(cursor, 2)
            cursor = page.cursor
            found += page.observations
    append(path, half)
    more, cursor = drain(log, cursor)
    assert sorted(ids([*found, *more])) == sorted(written)
    assert drain(log, cursor)[0] == []
