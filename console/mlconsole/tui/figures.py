"""Figures as people read them: shares, milliseconds, counts, moments. What is not known is `?`, never 0."""

from __future__ import annotations

from datetime import datetime

UNKNOWN = "?"


def share(value: float | None) -> str:
    """`0.2 %`, `3 %`, `100 %`; never 100 or 0 for what only nearly is."""
    if value is None:
        return UNKNOWN
    percent = 100 * value
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.5 <= percent < 100:
        return f"{percent:.1f} %" if percent < 99.95 else "> 99.9 %"
    return f"{percent:.0f} %" if percent >= 10 or abs(percent - round(percent)) < 0.05 else f"{percent:.1f} %"


def count(value: float) -> str:
    """`1 214 883`; one that is no whole number keeps three digits."""
    return f"{value:,.0f}".replace(",", " ") if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def figure(value: float | None, unit: str) -> str:
    """A value in its unit: `%` are shares from 0 to 1."""
    if value is None:
        return UNKNOWN
    if unit == "%":
        return share(value)
    return f"{value:.0f} ms" if unit == "ms" else count(value)


def score(value: float | None) -> str:
    """`.73`, as in a table of scores."""
    if value is None:
        return UNKNOWN
    text = f"{value:.2f}"
    return text.removeprefix("0") if text.startswith("0.") and 0 < value < 1 else text


def clock(at: datetime, *, seconds: bool = False) -> str:
    """The time of day, local."""
    return at.astimezone().strftime("%H:%M:%S" if seconds else "%H:%M")


def moment(at: datetime | None, now: datetime) -> str:
    """`08:52` of today, `Sun 14:02` of this week, `6 Nov` of before."""
    if at is None:
        return ""
    there, here = at.astimezone(), now.astimezone()
    if there.date() == here.date():
        return clock(at)
    if abs((here - there).total_seconds()) < 6 * 86_400:
        return there.strftime("%a %H:%M")
    return f"{there.day} {there.strftime('%b')}"
