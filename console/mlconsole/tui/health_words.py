"""Health in words and lines: what is wrong, what would help, how it recovers. Pure: values in, lines out."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from mlconsole.core.text import duration
from mlconsole.engine.views import AlarmView, EndpointHealthView, FiguresView, HealthView, ProbeView, SliceView
from mlconsole.tui.figures import clock, count, figure, moment, score, share
from mlconsole.tui.pane import Line, Span, line
from mlconsole.tui.signs import BOLD, DIM, GREEN, RED, YELLOW, Signs
from mlconsole.tui.table import Column, Row

_SPARED = ("dependency", "usual", "endpoints", "effect", "last change")
"""Lines of an alarm that give way first where there is no room."""

_MARKS = re.compile(r"([✖✔▲])")
_VERDICTS = re.compile(r"^((?:[^:]*: )?)(?:would (?:NOT )?help|can't be told): ")
"""What triage says before its reason; here that stands in bold before it."""

_STYLES = {"✖": RED, "✔": GREEN, "▲": YELLOW}

RECOVERY = (
    Column("slice", "SLICE", least=8, most=20, keep=100),
    Column("now", "NOW", least=6, most=10, keep=90),
    Column("usual", "USUAL", least=6, most=10, keep=60),
    Column("scores", "SCORES", least=9, most=13, keep=40),
    Column("n", "n SINCE FIX", least=11, keep=80),
    Column("verdict", "VERDICT", grows=True, least=12, most=60, keep=95),
)
NOW_TITLES = {"identical": "SAME NOW", "errors": "ERR NOW", "latency": "P95 NOW"}


# Pieces.


def spoken(title: str) -> str:
    """`ALL PREDICTIONS IDENTICAL` inside a sentence."""
    return title.lower() if title.isupper() else title


def marked(text: str, style: str = "") -> list[Span]:
    """A text whose signs have their colours."""
    return [(piece, _STYLES.get(piece, style)) for piece in _MARKS.split(text) if piece]


def folded(text: str, width: int, *, first: str = "", style: str = "") -> list[Line]:
    """A text in lines of at most `width` characters; `first` stands bold before it, and the others are indented as far."""
    pieces = textwrap.wrap(text, max(8, width - len(first)), break_on_hyphens=False) or [""]
    return [line((first if place == 0 else " " * len(first), BOLD), *marked(piece, style)) for place, piece in enumerate(pieces)]


def verdict_sign(verdict: str, signs: Signs, *, pages: bool = True) -> Span:
    """A verdict's sign. What is not known is grey, never green."""
    if verdict == "fail":
        return (signs.failing, "bold red") if pages else (signs.look, YELLOW)
    if verdict == "error":
        return signs.look, YELLOW
    return (signs.ok, GREEN) if verdict == "pass" else (signs.no_data, DIM)


def who_has(alarm: AlarmView) -> str:
    """`anna has it`, `nobody has it`."""
    name = alarm.acknowledged_by.partition("@")[0]
    return f"{name} has it" if name else "nobody has it"


def state_span(one: EndpointHealthView, health: HealthView, signs: Signs) -> Span:
    """How an endpoint does, in one or two words."""
    alarm = alarm_of(health, one.endpoint)
    if alarm is not None and alarm.state == "recovering":
        return f"{signs.look} {one.title or 'recovering'}", YELLOW
    pages = alarm is not None or any(answer.pages and answer.verdict == "fail" for answer in one.answers)
    sign, style = verdict_sign(one.verdict, signs, pages=pages)
    word = {"pass": "ok", "no_data": "no data", "inconclusive": "too few yet", "error": "can't be told"}.get(one.verdict, "failing")
    return f"{sign} {one.title or word}", style


def alarm_of(health: HealthView, endpoint: str) -> AlarmView | None:
    """The open alarm that an endpoint is part of."""
    return next((one for one in health.open_alarms if endpoint in one.endpoints), None)


def worst_of(one: EndpointHealthView) -> Span:
    """The worst slice, with what is worst of it: `pl 0.4 %`; `all` when all requests are."""
    first = next((each for each in one.slices if each.slice), None)
    whole = next((each for each in one.slices if not each.slice), None)
    if whole is not None and whole.verdict == "fail":
        return "all", RED
    if first is None:
        return "–", DIM
    question = first.worst.question if first.worst else "errors"
    value = first.figures.same if question == "identical" else first.figures.errors
    if value is None or (not value and first.verdict == "pass"):
        return "–", DIM
    if question == "latency":
        return f"{value_of(first.slice)} {figure(first.figures.p95, 'ms')}", RED if first.verdict == "fail" else ""
    return f"{value_of(first.slice)} {share(value)}", RED if first.verdict == "fail" else ""


def value_of(slice_name: str) -> str:
    """`language=de` as `de`; all requests as `all`."""
    return (slice_name.partition("=")[2] or slice_name) if slice_name else "all"


def figure_cells(figures: FiguresView) -> dict[str, str | Span]:
    """The columns that every table of figures has."""

    def cell(text: str) -> str | Span:
        return (text, DIM) if text == "?" else text

    return {
        "n": cell(count(figures.n) if figures.n else "?"),
        "errors": cell(f"{100 * figures.errors:.1f}" if figures.errors is not None else "?"),
        "p95": cell(f"{figures.p95:.0f}" if figures.p95 is not None else "?"),
        "same": cell(share(figures.same)),
        "over": cell(share(figures.over)),
        "rate": cell(f"{figures.rate:.1f}" if figures.rate is not None else "?"),
        "scores": cell(scores_told(figures)),
    }


def scores_told(figures: FiguresView) -> str:
    """The range of scores."""
    if figures.lowest is None or figures.highest is None:
        return "?"
    low, high = score(figures.lowest), score(figures.highest)
    return f"all {low}" if low == high else f"{low} – {high}"


# An alarm.


def alarm_lines(alarm: AlarmView, width: int, room: int) -> list[Line]:
    """What is wrong, line by line, in at most `room` lines; what matters least gives way."""
    worst = alarm.findings[0].text if alarm.findings else ""
    top = f"since {clock(alarm.since, seconds=True)}" + (f" · {worst}" if worst else "")
    parts = [(name, told) for name, told in alarm.triage.lines]
    if not any(name == "since" for name, _ in parts):
        parts.insert(0, ("", top))
    if alarm.triage.ordinary:
        parts.append(("", alarm.triage.ordinary))
    for name in (*_SPARED, None, None):
        lines = [each for label, told in parts for each in _told_line(label, told, width)]
        if len(lines) <= room or name is None:
            break
        parts = [part for part in parts if part[0] != name]
    if len(lines) > room:  # then each in one line, cut
        lines = [line((f"{label:<10} " if label else "", DIM), *marked(told)) for label, told in parts]
    return lines[:room] if room > 0 else []


def _told_line(label: str, told: str, width: int) -> list[Line]:
    lead = "" if not label else f"{label} " if label == "since" else f"{label:<10} " if len(label) <= 10 else f"{label}  "
    pieces = textwrap.wrap(told, max(8, width - len(lead)), break_on_hyphens=False) or [""]
    return [line((lead if place == 0 else " " * len(lead), DIM), *marked(piece)) for place, piece in enumerate(pieces)]


def revert_line(alarm: AlarmView) -> tuple[str, str]:
    """Whether going back would help: the words that matter, and why."""
    triage = alarm.triage
    lead = "u would help: " if triage.revert_helps else "u would NOT help: " if triage.revert_helps is False else "u can't be judged: "
    return lead, _VERDICTS.sub(r"\1", triage.revert, count=1)


def help_lines(alarm: AlarmView, health: HealthView, width: int, keys: Mapping[str, str], room: int = 99) -> list[Line]:
    """What would help, and what would not, in the place where the way back always is; with less of the details where there is no room."""
    for brief in range(4):
        lines = _help_lines(alarm, health, width, keys, brief)
        if len(lines) <= room:
            break
    return lines


def _help_lines(alarm: AlarmView, health: HealthView, width: int, keys: Mapping[str, str], brief: int) -> list[Line]:
    def piece(text: str, first: str, least: int, within: int) -> list[Line]:
        return folded(text, within, first=first) if brief < least else [line((first, BOLD), *marked(text))]

    lead, told = revert_line(alarm)
    lines = []
    for place, part in enumerate(textwrap.wrap(lead + told, max(8, width - 2), break_on_hyphens=False)):
        head = part[: len(lead)] if place == 0 else ""
        lines.append(line("" if place == 0 else "  ", (head, BOLD), part[len(head) :]))
    for probe in failing_probes(alarm, health):
        since = f" since {moment(probe.since, health.at)}" if probe.since else ""
        lines += piece(f"{probe.name}: {probe.text}{since}", "", 2, width - 2)
    fix = fix_of(alarm, health)
    if fix:
        took = f", {alarm.triage.fix_told}" if alarm.triage.fix_told else ""
        lines += piece(f"run {fix}{took}", f"{keys['fix']}  ", 3, width)
    lines += piece(has_it_told(alarm, health.at), f"{keys['acknowledge']}  ", 3, width)
    return lines if brief else [*lines, *folded("more: logs, predictions, copy", width, first=f"{keys['more']}  ")]


def way_back_lines(alarm: AlarmView, health: HealthView, width: int, keys: Mapping[str, str]) -> list[Line]:
    """The same at the end of the first box, where there is no room beside it: in three lines at most."""
    lead, told = revert_line(alarm)
    lines = [line((lead, BOLD), told)] if len(lead + told) <= width else folded(told, width, first=lead)[:2]
    fix = fix_of(alarm, health)
    took = f", {alarm.triage.fix_told}" if alarm.triage.fix_told else ""
    return [*lines, *([line((f"{keys['fix']}  ", BOLD), f"run {fix}{took}")] if fix else [])]


def has_it_told(alarm: AlarmView, now: datetime) -> str:
    """Who has it; else what acknowledging does."""
    if not alarm.acknowledged_by:
        return "acknowledge: tells the team"
    text = f': "{alarm.acknowledged_text}"' if alarm.acknowledged_text else ""
    return f"{who_has(alarm)} since {moment(alarm.acknowledged_at, now)}{text}"


def failing_probes(alarm: AlarmView, health: HealthView) -> list[ProbeView]:
    """Dependencies of the alarm's endpoints that are not well."""
    subjects = {finding.subject for finding in alarm.findings if finding.subject}
    return [one for one in health.probes if one.ok is False and (one.name in subjects or set(one.endpoints) & set(alarm.endpoints))]


def fix_of(alarm: AlarmView | None, health: HealthView, endpoint: str = "") -> str:
    """The action that would mend it; empty when none is known."""
    if alarm is not None and alarm.triage.fix:
        return alarm.triage.fix
    probes = failing_probes(alarm, health) if alarm else [one for one in health.probes if one.ok is False and endpoint in one.endpoints]
    return next((one.repair for one in probes if one.repair), "")


def happened_lines(alarm: AlarmView) -> list[Line]:
    """What happened in it, oldest first."""
    return [line((f"{clock(at, seconds=True)}  ", DIM), *marked(text)) for at, text in alarm.events]


def left_lines(alarm: AlarmView, one: EndpointHealthView | None, environment: str, width: int) -> list[Line]:
    """What is left to do when it is over: the wrong predictions, and what proves it."""
    lines: list[Line] = []
    end = max((finding.seen for finding in alarm.findings), default=alarm.since)
    if alarm.triage.effect:
        between = f"between {clock(alarm.since, seconds=True)} and {clock(end, seconds=True)}"
        lines += folded(f"{count(alarm.triage.effect)} predictions {between} are wrong ({', '.join(alarm.endpoints)})", width)
    lines += folded(f"copies: {affected_command(alarm, environment)}", width, first="y  ")
    needing = [each for each in (one.slices if one else ()) if each.need]
    if needing:
        slowest = max(needing, key=lambda each: each.need / (each.figures.rate or 1e-9))
        wait = _wait(slowest)
        when = f" ({wait})" if wait else ""
        lines += folded(f"closes by itself once {value_of(slowest.slice)} is proven{when}; i sends a query now", width)
    return lines


def affected_command(alarm: AlarmView, environment: str) -> str:
    """The command that lists the predictions that were wrong."""
    return f"mlconsole health affected {alarm.number} --csv --env {environment}"


def recovery_rows(alarm: AlarmView, one: EndpointHealthView, signs: Signs) -> list[Row]:
    """How far each slice is proven well again."""
    own = [finding for finding in alarm.findings if finding.endpoint == one.endpoint]
    own = [finding for finding in alarm.findings if finding.endpoint == one.endpoint]
    names = dict.fromkeys(name for finding in own for name in (*finding.slices, *finding.proven))
    proven: dict[str, int] = {}
    for finding in own:
        for name, good in finding.proven.items():
            proven[name] = min(good, proven.get(name, good))
    known = {each.slice: each for each in one.slices}
    rows = []
    for name in names:
        each = known.get(name) or SliceView(name, "no_data", FiguresView(), FiguresView(), need=0)
        now, usual = _asked(alarm.question, each.figures), _asked(alarm.question, each.usual)
        well = name in known and not each.need
        wait = _wait(each)
        told: Span = (f"{signs.ok} well again", GREEN) if well else (f"? {each.need} more{f', {wait}' if wait else ''}", YELLOW)
        if name not in known:
            told = ("? no data", DIM)
        cells: dict[str, str | Span] = {
            "slice": (value_of(name), BOLD),
            "now": now,
            "usual": (usual, DIM),
            "scores": scores_told(each.figures),
            "n": count(proven.get(name, 0)),
            "verdict": told,
        }
        rows.append(Row(name or "all", cells))
    return rows


def recovery_columns(alarm: AlarmView | None) -> tuple[Column, ...]:
    """The columns of how it recovers, by what was wrong."""
    title = NOW_TITLES.get(alarm.question if alarm else "", "NOW")
    return tuple(replace(column, title=title) if column.key == "now" else column for column in RECOVERY)


def way_back_told(alarm: AlarmView) -> str:
    """What going back has to do with it, in one sentence."""
    told = revert_line(alarm)[1]
    return f"u: {told}" if alarm.triage.revert_helps else f"not used: {told}"


def _asked(question: str, figures: FiguresView) -> str:
    if question == "latency":
        return figure(figures.p95, "ms")
    return share(figures.same if question == "identical" else figures.errors)


def _wait(one: SliceView) -> str:
    rate = one.figures.rate
    return duration(max(60.0, one.need / rate)) if rate and one.need else ""


# In plain text.


def report(alarm: AlarmView, environment: str) -> str:
    """The alarm for a chat or a ticket."""
    lines = [f"{environment}: {', '.join(alarm.endpoints) or 'dependencies'}: {alarm.title} (alarm {alarm.number}, {alarm.state})"]
    lines.append(f"since {alarm.since.astimezone().isoformat(timespec='seconds')}, {who_has(alarm)}")
    lines += [f"{finding.endpoint}: {finding.text}" for finding in alarm.findings]
    lines += [f"{name}: {told}" for name, told in alarm.triage.lines]
    lead, told = revert_line(alarm)
    lines.append(lead + told)
    if alarm.triage.fix:
        lines.append(f"fix: mlconsole action run {alarm.triage.fix} --env {environment}")
    lines += [f"{at.astimezone().isoformat(timespec='seconds')}  {text}" for at, text in alarm.events]
    return "\n".join([*lines, *alarm.told])


def endpoint_report(one: EndpointHealthView, environment: str) -> str:
    """How an endpoint does, for a chat or a ticket."""
    figures = one.figures
    lines = [f"{environment}: {one.endpoint}: {one.title or one.verdict}"]
    rate = f"{figures.rate:.1f} requests a second, " if figures.rate is not None else ""
    lines.append(f"{rate}errors {share(figures.errors)}, p95 {figure(figures.p95, 'ms')}, same output {share(figures.same)}, n {figures.n}")
    for each in one.slices:
        told = f"errors {share(each.figures.errors)}, same {share(each.figures.same)}"
        lines.append(f"{value_of(each.slice)}: {each.verdict}, {told}")
    return "\n".join(lines)
