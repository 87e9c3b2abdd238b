"""How far captured data have been read: a text that survives restarts, and never tells a line twice.

Files lie by the hour of their requests, and some come late: for an hour already read others still arrive. So the cursor knows each file
that it has read of the last hours (a mark of eight characters), and one place in a file that is read in parts. Hours before its floor are
closed: their marks are dropped, and what still comes there is not read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from mlconsole.plugin.errors import InvalidRequest

LATE = timedelta(hours=3)
"""So long after its hour a file may come and is read all the same."""

MOST_MARKS = 40_000
"""Files that are remembered; beyond that, the oldest hours are closed early."""

V = TypeVar("V")

_KEY = re.compile(r"(\d{4})/(\d\d)/(\d\d)/(\d\d)/(\d\d)-(\d\d)-(\d{1,6})-[^/]+\.jsonl")
_MARK = 8
_HOUR = 13
"""Characters of `2026/11/20/15`."""


class File(NamedTuple):
    """A file as S3 lists it. `key` is what follows `ENDPOINT/VARIANT/`, `time` when its requests began (as the key says)."""

    stream: str
    key: str
    time: datetime
    etag: str
    size: int
    modified: datetime

    @property
    def hour(self) -> str:
        """`2026/11/20/15`."""
        return self.key[:_HOUR]


class Part(NamedTuple):
    """A file that has been read to a place (bytes)."""

    stream: str
    key: str
    etag: str
    offset: int


@dataclass
class Cursor:
    """What has been read."""

    since: float
    """Nothing earlier is told (epoch seconds)."""
    floor: str
    """The first hour that is not closed: `2026/11/20/12`."""
    read: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """Stream → hour → marks of the files that have been read."""
    part: Part | None = None
    minutes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Stream → hour → the minutes in which something was captured, one bit for each: gaps are seen by it, in whatever order files come."""
    late: dict[str, int] = field(default_factory=dict)
    """Hour → how late its latest file came (s)."""
    capturing: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """SageMaker endpoint → so many of a hundred requests are captured, and whether it goes on; those that capture all are left out."""
    garbage: int = 0
    """Lines that told of no prediction."""
    lost: int = 0
    """Files that were gone, or other ones, before they were read to their end."""
    early: str = ""
    """The last hour that was closed early, for there are more files than are remembered."""

    @staticmethod
    def at(time: datetime) -> Cursor:
        """A cursor behind which everything at or after `time` lies. One hour more: a file may hold what was asked after its hour began."""
        return Cursor(time.timestamp(), hour_of(time - timedelta(hours=1)))

    def has(self, file: File) -> bool:
        """Whether the file has been read, or its hour is closed."""
        return file.hour < self.floor or mark(file.key) in self.read.get(file.stream, {}).get(file.hour, ())

    def add(self, file: File) -> None:
        """The file has been read to its end."""
        self.read.setdefault(file.stream, {}).setdefault(file.hour, set()).add(mark(file.key))
        self.part = None

    def saw(self, stream: str, time: datetime) -> None:
        """A prediction of that time."""
        hours = self.minutes.setdefault(stream, {})
        hour = hour_of(time)
        hours[hour] = hours.get(hour, 0) | 1 << time.minute

    def close_before(self, moment: datetime) -> None:
        """Everything up to `moment` has been read: hours that are `LATE` before it are closed, and more where too many files are
        remembered."""
        self._raise(hour_of(moment - LATE))
        counts: dict[str, int] = {}
        for hours in self.read.values():
            for hour, marks in hours.items():
                counts[hour] = counts.get(hour, 0) + len(marks)
        total = sum(counts.values())
        for hour in sorted(counts):
            if total <= MOST_MARKS or hour >= hour_of(moment):
                break
            total -= counts[hour]
            self.early = hour
            self._raise(_next_hour(hour))

    def text(self) -> str:
        """As JSON, compact."""
        body = {
            "schema": 1,
            "since": self.since,
            "floor": self.floor,
            "read": {stream: {hour: "".join(sorted(marks)) for hour, marks in hours.items()} for stream, hours in self.read.items()},
            "part": self.part,
            "minutes": self.minutes,
            "late": self.late,
            "capturing": self.capturing,
            "garbage": self.garbage,
            "lost": self.lost,
            "early": self.early,
        }
        return json.dumps(body, separators=(",", ":"))

    @staticmethod
    def of(text: str) -> Cursor:
        """The cursor that a text is.

        Raises:
            InvalidRequest: it is none of ours.
        """
        try:
            body = json.loads(text)
            if body["schema"] != 1 or not re.fullmatch(r"\d{4}(/\d\d){3}", body["floor"]):
                raise ValueError("another schema")
            stream, key, etag, offset = body["part"] or ("", "", "", 0)
            return Cursor(
                since=float(body["since"]),
                floor=body["floor"],
                read={one: {hour: _marks(marks) for hour, marks in hours.items()} for one, hours in body["read"].items()},
                part=Part(str(stream), str(key), str(etag), int(offset)) if body["part"] else None,
                minutes={one: {hour: int(bits) for hour, bits in hours.items()} for one, hours in body["minutes"].items()},
                late={hour: int(seconds) for hour, seconds in body["late"].items()},
                capturing={native: (int(percent), bool(running)) for native, (percent, running) in body["capturing"].items()},
                garbage=int(body["garbage"]),
                lost=int(body["lost"]),
                early=str(body["early"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest("That is no cursor of captured data.", next="Start anew from a time.") from error

    def _raise(self, floor: str) -> None:
        if floor <= self.floor:
            return
        self.floor = floor
        self.read = _from(self.read, floor)
        self.minutes = _from(self.minutes, floor)
        self.late = {hour: seconds for hour, seconds in self.late.items() if hour >= floor}
        self.early = self.early if self.early >= hour_of(_moment(floor) - LATE) else ""


def time_of(key: str) -> datetime | None:
    """When the requests of a file began, by its key behind `ENDPOINT/VARIANT/`; None: that is no file of captured data."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(found[place]) for place in range(1, 7))
    try:
        return datetime(year, month, day, hour, minute, second, int(found[7][:3].ljust(3, "0")) * 1000, tzinfo=UTC)
    except ValueError:
        return None


def hour_of(moment: datetime) -> str:
    """`2026/11/20/15`."""
    return f"{moment.astimezone(UTC):%Y/%m/%d/%H}"


def mark(key: str) -> str:
    """What is remembered of a file: 48 bits of its key."""
    return base64.b64encode(hashlib.blake2b(key.encode(), digest_size=6).digest()).decode()


def _marks(text: str) -> set[str]:
    if len(text) % _MARK:
        raise ValueError("half a mark")
    return {text[place : place + _MARK] for place in range(0, len(text), _MARK)}


def _from(streams: dict[str, dict[str, V]], floor: str) -> dict[str, dict[str, V]]:
    kept = {stream: {hour: one for hour, one in hours.items() if hour >= floor} for stream, hours in streams.items()}
    return {stream: hours for stream, hours in kept.items() if hours}


def _next_hour(hour: str) -> str:
    return hour_of(_moment(hour) + timedelta(hours=1))


def _moment(hour: str) -> datetime:
    return datetime.strptime(hour, "%Y/%m/%d/%H").replace(tzinfo=UTC)
