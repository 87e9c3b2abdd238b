"""The words that people are sent about an alarm: the page, what joined it, that it recovers, that it is over, that somebody has it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mlconsole.core.alarms import Alarm
from mlconsole.core.health import Question
from mlconsole.core.text import duration, neutralise
from mlconsole.core.triage import Triage
from mlconsole.core.wording import clock, count

FIRST, WIDTH = 60, 100
"""The first characters of a title say it all; a line is no wider than that, unless it is a command, which is never cut."""
LONGEST = 24
"""Of one name in a title."""


@dataclass(frozen=True)
class PageFacts:
    """What a page says besides the alarm and its triage."""

    now: datetime
    host: str = ""
    """Where mlconsole runs, as `ssh` knows it; empty: commands are told without ssh."""
    next_page: tuple[str, datetime] | None = None
    """Which channel is told next, and when, if nobody takes it."""
    program: str = "mlconsole"
    told: Sequence[str] = ()
    """Whom it was told already: `paged ops 08:53`."""
    waited: float | None = None
    """Seconds that nobody has taken it for when a second channel hears of it; None: up to `now`."""


@dataclass(frozen=True)
class Words:
    """A notice in words."""

    title: str
    lines: tuple[str, ...]
    severity: str
    """`page`, `recovered`, `info`."""


def page(alarm: Alarm, triage: Triage, told: PageFacts) -> tuple[str, tuple[str, ...]]:
    """The page itself: its title and its lines."""
    words = words_for("opened", alarm, triage, told)
    return words.title, words.lines


def words_for(key: str, alarm: Alarm, triage: Triage, told: PageFacts) -> Words:
    """What is sent for a key of `alarms.Told`; also for `second` (nobody took it), `acknowledged`."""
    kind, _, rest = key.partition(":")
    title = _title(alarm, triage, told)
    if kind in ("recovering", "closed", "acknowledged"):
        return _after(kind, alarm, triage, told)
    first: list[str] = []
    if kind == "joined":
        news = ", ".join(f"{where} {question}" for question, _, where in (one.partition(":") for one in rest.split(",")))
        first = [f"alarm {alarm.number} grew: {news}"]
    elif kind == "again":
        quiet = f"it seemed to be over since {clock(alarm.recovering, told.now)}" if alarm.recovering else "it seemed to be over"
        first = [f"alarm {alarm.number} again: {quiet}"]
    elif kind == "second":
        by = f" ({', '.join(told.told)})" if told.told else ""
        waited = (told.now - alarm.opened).total_seconds() if told.waited is None else told.waited
        first = [f"nobody has taken it for {duration(waited)}{by}"]
    return Words(title, _lines([*first, *_body(alarm, triage, told)]), "page")


def _title(alarm: Alarm, triage: Triage, told: PageFacts) -> str:
    """As much as fits into `FIRST` characters: names give way before what is wrong and since when."""
    since = f" since {clock(alarm.named_since, told.now)}"
    return _fitting(alarm, triage, since)


def _fitting(alarm: Alarm, triage: Triage, tail: str) -> str:
    # What happened first is cut last: who reads it on a lock screen has to know what is wrong, where, and since when.
    whats = [triage.title, _shorter(triage.title)]
    for length in (200, LONGEST, 12):
        for most in (2, 1):
            names = _names(alarm.endpoints, most, length)
            for what in whats:
                head = f"{_short(alarm.environment)}{f' {names}' if names else ''}: "
                if len(head) + len(what) + len(tail) <= FIRST:
                    return f"{head}{what}{tail}"
    names = _names(alarm.endpoints, 1, 12)
    head = f"{_short(alarm.environment)}{f' {names}' if names else ''}: "
    return f"{head}{_cut(whats[-1], max(8, FIRST - len(head) - len(tail)))}{tail}"


def _shorter(title: str) -> str:
    return title.replace("ALL PREDICTIONS IDENTICAL", "ALL IDENTICAL").replace("IDENTICAL PREDICTIONS", "IDENTICAL")


def _short(environment: str) -> str:
    return "PROD" if environment == "production" else _cut(neutralise(environment).upper(), 12)


def _names(endpoints: Sequence[str], most: int, length: int) -> str:
    names = [_cut(neutralise(name), length) for name in endpoints]
    if len(names) <= most:
        return " + ".join(names)
    return f"{names[0]} + {len(names) - 1}" if names else ""


def _body(alarm: Alarm, triage: Triage, told: PageFacts) -> Iterable[str]:
    lines = dict(triage.lines)
    worst = alarm.worst
    first = _joined(_where(alarm, triage), worst.text)
    whole = _joined(first, lines.get("effect", ""))
    yield from [whole] if len(whole) <= WIDTH else [first, lines.get("effect", "")]
    if alarm.endpoints:
        change, before = lines.get("last change", "").partition("   ")[0], lines.get("just before", "")
        if change:
            yield {True: "most likely a release: ", False: "not a release: last change ", None: "last change "}[
                triage.revert_helps
            ] + change
        if before and not before.startswith("nothing"):
            yield f"just before: {before}"
    if "dependency" in lines and not any(name in lines.get("just before", "") for name in _named(lines["dependency"])):
        yield lines["dependency"]
    yield from _helps(alarm, triage, told)
    next_page = f"   ·   next page: {neutralise(told.next_page[0])} {clock(told.next_page[1], told.now)}" if told.next_page else ""
    yield f"take it: {_command(told, ['health', 'ack', str(alarm.number), '--env', alarm.environment])}{next_page}"


def _named(dependency: str) -> list[str]:
    """The probes that a line about dependencies names."""
    return [one.partition(" failing: ")[0] for one in dependency.split("; ") if " failing: " in one]


def _where(alarm: Alarm, triage: Triage) -> str:
    worst = alarm.worst
    if worst.question in (Question.DEPENDENCY, Question.ALARM, Question.WATCHER):
        return ""
    every = [what.removesuffix("s") for what, told in triage.lines if told.endswith("   all of them")]
    if every:
        return f"every {every[0]}"
    names = [one for one in worst.slices if one]
    if "" in worst.slices or not names:
        return "all requests" + (f" ({', '.join(name.partition('=')[2] or name for name in names[:4])})" if names else "")
    keys = {name.partition("=")[0] for name in names}
    values = ", ".join(name.partition("=")[2] or name for name in names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"{next(iter(keys))} {values}" if len(keys) == 1 else ", ".join(names[:6])


def _helps(alarm: Alarm, triage: Triage, told: PageFacts) -> Iterable[str]:
    revert = f"revert {triage.revert}" if triage.revert else ""
    fix = f"Fix: {_command(told, ['action', 'run', triage.fix, '--env', alarm.environment], tty=True)}" if triage.fix else ""
    if triage.revert_helps and alarm.worst.endpoint:
        back = f"Go back: {_command(told, ['revert', alarm.worst.endpoint, '--env', alarm.environment], tty=True)}"
        yield revert
        yield back
        yield fix
        return
    short = "revert would not help" if triage.revert_helps is False else "whether a revert helps can't be told"
    if revert and len(revert) <= WIDTH:
        short = revert.rstrip(".")
    yield from ([f"{short}. {fix}"] if fix and len(short) + len(fix) + 2 <= WIDTH else [short, fix])
    if not fix and triage.fix_told:
        yield triage.fix_told


def _after(kind: str, alarm: Alarm, triage: Triage, told: PageFacts) -> Words:
    was = f"alarm {alarm.number}, was: {triage.title}, since {clock(alarm.named_since, told.now)}"
    affected = _command(told, ["health", "affected", str(alarm.number), "--csv", "--env", alarm.environment])
    clean = [f"{count(triage.effect)} predictions were wrong. Their ids: {affected}"] if triage.effect else []
    by = neutralise(alarm.closed_by)
    if kind == "acknowledged":
        has = alarm.acknowledged
        who = neutralise(str(has.who.user)) if has else "somebody"
        text = [f"“{neutralise(has.text)}”"] if has and has.text else []
        return Words(_fitting(alarm, _renamed(triage, f"{who} has it"), ""), _lines([was, *text]), "info")
    if kind == "recovering":
        title = _fitting(alarm, _renamed(triage, f"recovering, {_shorter(triage.title)}"), "")
        return Words(title, _lines([was, "nothing is found any more; not every slice is proven well yet"]), "info")
    at = clock(alarm.closed or told.now, told.now)
    if by:
        return Words(
            _fitting(alarm, _renamed(triage, "closed by hand"), f" at {at}"), _lines([was, f"closed by {by}", *clean]), "recovered"
        )
    return Words(
        _fitting(alarm, _renamed(triage, "well again"), f" since {clock(alarm.recovering or alarm.closed or told.now, told.now)}"),
        _lines([was, f"every slice is proven well again, closed {at}", *clean]),
        "recovered",
    )


def _renamed(triage: Triage, title: str) -> Triage:
    return Triage(title, triage.lines, triage.revert_helps, triage.revert)


def _command(told: PageFacts, words: Sequence[str], *, tty: bool = False) -> str:
    line = " ".join([told.program, *(shlex.quote(neutralise(word)) for word in words)])
    if not told.host:
        return line
    return f"ssh {'-t ' if tty else ''}{shlex.quote(neutralise(told.host))} {line}"


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _lines(lines: Iterable[str]) -> tuple[str, ...]:
    """Neutralised, no wider than `WIDTH`; a line with a command in it is never cut."""
    clean = (neutralise(line) for line in lines if line)
    return tuple(line if "mlconsole " in line else _cut(line, WIDTH) for line in clean)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
