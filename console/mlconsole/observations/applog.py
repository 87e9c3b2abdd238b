"""Application logs: JSON lines in which an application tells of its own requests, read as observations, each line once.

Many failures happen before a model is asked, and only the application knows of them. Its files are somebody else's: they are renamed,
copied and truncated while we read. So a file is known by its first line and by the bytes before the place that it was read to, and never by
its name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import glob
from typing import Any, NamedTuple

from mlconsole.core.clock import Clock, SystemClock
from mlconsole.observations.files import Place, opened, places_at, read
from mlconsole.plugin.errors import InvalidRequest
from mlconsole.plugin.roles import Observation, Page

_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".lz4")
_AHEAD = 3600.0
"""Seconds: a line that is further in the future is nonsense; it would make everything that comes after it look old."""
_GOOD = frozenset({"ok", "success", "succeeded", "successful", "done", "true", "pass", "passed"})
_BAD = frozenset({"error", "err", "fail", "failed", "failure", "exception", "false", "timeout", "critical", "fatal"})
_THROTTLED = frozenset({"throttled", "rate_limited", "rate-limited", "too_many_requests"})
_NUMBER = re.compile(r"\s*(\d{1,3})\b")


class Passed(NamedTuple):
    """Lines that made no observation. `garbage`: no JSON object, no time that makes sense, a status that says nothing, or far too long;
    `others`: they tell of no request."""

    garbage: int = 0
    others: int = 0


@dataclass
class _Cursor:
    since: float
    files: list[Place]
    passed: Passed

    def text(self) -> str:
        return json.dumps({"schema": 1, "since": self.since, "files": self.files, "passed": self.passed}, separators=(",", ":"))

    @staticmethod
    def of(text: str) -> _Cursor:
        try:
            body = json.loads(text)
            if body["schema"] != 1:
                raise ValueError("another schema")
            files = [Place(str(head), int(at), str(check), bool(skipping)) for head, at, check, skipping in body["files"]]
            garbage, others = body["passed"]
            return _Cursor(float(body["since"]), files, Passed(int(garbage), int(others)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest("That is no cursor of an application's log.", next="Start anew from a time.") from error


class ApplicationLog:
    """One application's log as a source of observations; it only reads, and keeps nothing but what is in the cursor."""

    def __init__(self, endpoint: str, files: str, fields: Mapping[str, str], slices: Mapping[str, str], *, clock: Clock) -> None:
        """`files` is an absolute path with `*` and `?`; what they are renamed to (`….1`, `…-20260314`) is read too. `fields` says where in
        a line `time`, `request_id`, `status`, `milliseconds`, `error` and `score` are (those left out: under their own names), `slices`
        where the labels are; a dot goes inside.
        """
        self._endpoint = endpoint
        self._patterns = (files, f"{files}[.-]*")
        self._at = {name: fields.get(name, name) for name in ("time", "request_id", "status", "milliseconds", "error", "score")}
        self._status_named = "status" in fields
        self._slices = dict(slices)
        self._clock = clock

    def cursor_at(self, time: datetime) -> str:
        """A cursor behind which every observation at or after `time` lies."""
        since = time.timestamp()
        with opened(self._names(), since) as files:
            return _Cursor(since, places_at(files, since, self._time), Passed()).text()

    def read(self, cursor: str, limit: int = 10_000) -> Page:
        """What the next lines tell, at most `limit` lines; each once along the cursor.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        state = _Cursor.of(cursor)
        with opened(self._names(), state.since) as files:
            batch = read(files, state.files, max(1, limit))
        found, (garbage, others) = [], state.passed
        latest = self._clock.now().timestamp() + _AHEAD
        for raw in batch.lines:
            one = None if raw is None else self._observation(raw, latest)
            if isinstance(one, Observation):
                if one.time.timestamp() >= state.since:
                    found.append(one)
            elif one is None:
                garbage += 1
            else:
                others += 1
        return Page(found, _Cursor(state.since, batch.places, Passed(garbage, others)).text(), batch.at_end)

    @staticmethod
    def passed(cursor: str) -> Passed:
        """How many lines made no observation since the cursor's beginning.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        return _Cursor.of(cursor).passed

    def _names(self) -> Sequence[str]:
        names = dict.fromkeys(name for pattern in self._patterns for name in glob(pattern))  # noqa: PTH207 - the pattern is absolute
        return [name for name in names if not name.endswith(_PACKED)]

    def _time(self, raw: bytes) -> float | None:
        line = _parsed(raw)
        return None if line is None else _time(_inside(line, self._at["time"]))

    def _observation(self, raw: bytes, latest: float) -> Observation | bool | None:
        """None: garbage; False: it tells of no request."""
        line = _parsed(raw)
        if line is None:
            return None
        time = _time(_inside(line, self._at["time"]))
        if time is None or time > latest:
            return None
        given, error = _inside(line, self._at["status"]), _inside(line, self._at["error"])
        if given is not None:
            status = _status(given)
            if status is None:
                return None
        elif error:
            status = 500
        elif self._status_named:
            return False
        else:
            status = 200
        milliseconds = _number(_inside(line, self._at["milliseconds"]))
        labels = ((key, _inside(line, path)) for key, path in self._slices.items())
        return Observation(
            endpoint=self._endpoint,
            variant=None,
            request_id=_text(_inside(line, self._at["request_id"])),
            time=datetime.fromtimestamp(time, UTC),
            status=status,
            milliseconds=math.nan if milliseconds is None else milliseconds,
            slices={key: text for key, value in labels if (text := _text(value))},
            score=_number(_inside(line, self._at["score"])),
            error=_text(error) if status >= 400 or not status else "",
            application=True,
        )


def application_log(
    endpoint: str, files: str, fields: Mapping[str, str], slices: Mapping[str, str], *, clock: Clock | None = None
) -> ApplicationLog:
    """An application's log as a source of observations."""
    return ApplicationLog(endpoint, files, fields, slices, clock=clock or SystemClock())


def _parsed(raw: bytes) -> Mapping[str, Any] | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _inside(line: Mapping[str, Any], path: str) -> Any:
    """What lies at a dotted path; a key that has the dots in itself goes first."""
    if path in line:
        return line[path]
    value: Any = line
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def _time(value: Any) -> float | None:
    """Epoch seconds of an ISO time (UTC where it names no zone) or of a number of seconds, or of milli-, micro- or nanoseconds."""
    number = _number(value)
    if number is None:
        try:
            told = datetime.fromisoformat(value) if isinstance(value, str) else None
            return None if told is None else (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    for _ in range(3):
        if number > 1e11:  # as seconds, that is the year 5138
            number /= 1000
    return number if 0 < number < 1e11 else None


def _status(value: Any) -> int | None:
    if isinstance(value, bool):
        return 200 if value else 500
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in _GOOD:
            return 200
        if word in _BAD:
            return 500
        if word in _THROTTLED:
            return 429
        found = _NUMBER.match(value)
        return int(found[1]) if found else None
    number = _number(value)
    return int(number) if number is not None and 0 <= number < 1000 else None


def _number(value: Any) -> float | None:
    try:
        number = None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value) if not isinstance(value, float) else f"{value:g}"
