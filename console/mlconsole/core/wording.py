"""Moments and figures as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta


def clock(when: datetime, now: datetime, *, seconds: bool = False) -> str:
    """A moment as people here read it: `08:52`, with the day when it was another one."""
    here, today = when.astimezone(), now.astimezone()
    time = here.strftime("%H:%M:%S" if seconds else "%H:%M")
    if here.date() == today.date():
        return time
    return f"{here:%a} {time}" if today - here < timedelta(days=6) else f"{here:%d.%m.} {time}"


def percent(share: float) -> str:
    """`100 %`, `0.2 %`; never 100 or 0 for what only nearly is."""
    value = 100 * share
    if 0 < value < 0.1:
        return "< 0.1 %"
    if 99.9 < value < 100:
        return "> 99.9 %"
    return f"{value:.1f} %".replace(".0 %", " %")


def count(number: float) -> str:
    """`1 148`."""
    return f"{round(number):,}".replace(",", " ")


def told_together(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
