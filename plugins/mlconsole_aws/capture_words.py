"""What people should know of captured data: how much is captured, how late it comes, where nothing was, what could not be read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from mlconsole.core.text import duration, neutralise
from mlconsole.plugin.roles import Coverage
from mlconsole_aws.capture_cursor import Cursor

_LATE = 60
"""Seconds that nobody has to be told of."""
_GAP = 15
"""Minutes without anything captured that are a gap, where there usually is something in every other minute at least."""
_SHOWN = 3


def coverage(state: Cursor, closed: Sequence[str]) -> Coverage:
    """Of what was read up to the cursor. `closed`: why files could not be read, one text for each."""
    notes, trouble = [], []
    for native, (percent, running) in sorted(state.capturing.items()):
        name = neutralise(native)
        if percent == 0:
            trouble.append(f"SageMaker endpoint {name} captures nothing")
        elif not running:
            trouble.append(f"SageMaker endpoint {name} has stopped capturing (it does when its disk is nearly full)")
        else:
            notes.append(f"{percent} of 100 requests of SageMaker endpoint {name} are captured")
    late = max(state.late.values(), default=0)
    if late >= _LATE:
        notes.append(f"captured predictions came up to {duration(late)} late")
    gaps = [(stream, gap) for stream, hours in sorted(state.minutes.items()) if (gap := widest_gap(hours)) is not None]
    for stream, (begin, end) in gaps[:_SHOWN]:
        notes.append(f"nothing of {neutralise(stream)} was captured from {begin.astimezone():%H:%M} to {end.astimezone():%H:%M}")
    if len(gaps) > _SHOWN:
        notes.append(f"and nothing of {len(gaps) - _SHOWN} more for a while")
    if state.garbage:
        trouble.append(f"{_counted(state.garbage, 'captured line')} could not be understood (no JSON, no time, or no data)")
    if state.lost:
        trouble.append(f"{_counted(state.lost, 'captured file')} changed or went away before the end was read")
    if closed:
        trouble.append(f"{_counted(len(closed), 'captured file')} can't be read: {neutralise(closed[0])}")
    if state.early:
        trouble.append(f"more files of captured data than are remembered: what comes late for {state.early[-2:]}:00 UTC is not read")
    return Coverage(tuple(notes), tuple(trouble))


def widest_gap(hours: Mapping[str, int]) -> tuple[datetime, datetime] | None:
    """The longest time without anything between the first and the last minute in which something was captured; None: none is worth telling.

    Where there is little traffic, minutes without any say nothing.
    """
    minutes = sorted(_minute(hour, bit) for hour, bits in hours.items() for bit in range(60) if bits >> bit & 1)
    if len(minutes) < 2:
        return None
    wide, begin = max((later - earlier, earlier) for earlier, later in pairwise(minutes))
    gap = int(wide / timedelta(minutes=1)) - 1
    others = int((minutes[-1] - minutes[0]) / timedelta(minutes=1)) + 1 - gap
    if gap < _GAP or len(minutes) * 2 < others:
        return None
    return begin + timedelta(minutes=1), begin + wide


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _minute(hour: str, bit: int) -> datetime:
    return datetime.strptime(hour, "%Y/%m/%d/%H").replace(tzinfo=UTC) + timedelta(minutes=bit)
