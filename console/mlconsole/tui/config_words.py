"""A config document in rows and lines: the matrix of its entries, what publishing the draft would do, findings, versions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from mlconsole.core.documents import config_target
from mlconsole.core.text import duration
from mlconsole.core.traffic import percent
from mlconsole.engine.documentviews import DifferenceView, DocumentView, DraftView, EntryView, FindingView, VersionView
from mlconsole.tui.config_attention import is_own, several
from mlconsole.tui.figures import clock, moment
from mlconsole.tui.pane import Line, Span, line, width_of
from mlconsole.tui.rollout_words import folded
from mlconsole.tui.signs import BOLD, CYAN, DIM, GREEN, MAGENTA, RED, YELLOW, Signs
from mlconsole.tui.table import Column, Row

CELLS = ("endpoint", "share", "fields", "threshold")
"""The columns of an entry that can be changed."""

MATRIX = (
    Column("model", "MODEL", least=8, most=24, keep=100),
    Column("slice", "SLICE", least=5, most=14, keep=100),
    Column("endpoint", "ENDPOINT", least=10, most=40, grows=True, keep=85),
    Column("share", "SHARE", least=5, most=34, keep=70),
    Column("fields", "FIELDS", least=6, most=34, keep=60),
    Column("threshold", "THRESHOLD", least=9, most=26, keep=98),
)
VERSIONS = (
    Column("number", "VERSION", least=7, most=9, keep=100),
    Column("when", "WHEN", least=5, most=11, keep=80),
    Column("who", "WHO", least=4, most=12, keep=70),
    Column("touched", "CHANGED", grows=True, least=16, most=90, keep=90),
    Column("reason", "WHY", least=6, most=40, keep=50),
)
CHANGED = f"{BOLD} {YELLOW}"
_SIGN_ROOM, _TOLD = 2, 4
"""Columns of the sign before a finding; differences that are told one by one."""


# The matrix.


def cell_of(entry: EntryView, column: str) -> str:
    """What an entry says in a column."""
    return ",".join(entry.fields) if column == "fields" else str(getattr(entry, column))


def cell_span(entry: EntryView, column: str) -> Span:
    """The same; where it is changed, what it was before and what it is then: `0.58→0.48`."""
    now = cell_of(entry, column)
    if column not in entry.changed:
        return (now, "") if now else ("–", DIM)
    before = entry.changed[column].replace(", ", ",") if column == "fields" else entry.changed[column]
    return f"{before or '–'}→{now or '–'}", CHANGED


def entry_row(entry: EntryView) -> Row:
    """An entry as a row of the matrix."""
    cells: dict[str, str | Span] = {"model": entry.model, "slice": (entry.slice or "all", BOLD)}
    cells |= {column: cell_span(entry, column) for column in CELLS}
    return Row(entry.pointer, cells, text=" ".join([entry.model, entry.slice, *(cell_of(entry, column) for column in CELLS)]))


def columns_of(entries: Sequence[EntryView]) -> tuple[Column, ...]:
    """The columns that any entry has something in."""
    empty = {column for column in CELLS if not any(cell_of(one, column) or column in one.changed for one in entries)}
    return tuple(column for column in MATRIX if column.key not in empty or len(empty) == len(CELLS))


def entries_shown(one: DocumentView, language: str, *, changed_only: bool) -> list[EntryView]:
    """Its entries; only those of a slice, only those that the draft changes."""
    fits: list[Callable[[EntryView], bool]] = []
    if language:
        fits.append(lambda entry: entry.slice == language)
    if changed_only:
        fits.append(lambda entry: bool(entry.changed))
    return [entry for entry in one.entries if all(fit(entry) for fit in fits)]


def no_entry_lines(one: DocumentView, language: str, keys: Mapping[str, str]) -> list[Line]:
    """Why there is no row: what to press, or what to look at."""
    if one.version is None and one.draft is None:
        told = f"{keys['edit']} opens its first text as a draft; {keys['publish']} publishes it."
        return [line((f"Nothing of {one.name} is published yet.", BOLD)), line(told)]
    if not one.entries:
        return [line(("No entry in it.", BOLD)), line(("entries: in mlconsole.yaml says where they are", DIM))]
    return [line((f"no entry for @{language}" if language else "the draft changes no entry", DIM))]


def outside_told(one: DocumentView) -> str:
    """How it was changed outside, in the words of people."""
    return one.outside.replace(config_target(one.name), f"config {one.name}")


def named(entry: EntryView, column: str = "") -> str:
    """`relevance · pl · threshold`."""
    return " · ".join(part for part in (entry.model, entry.slice, column) if part)


def siblings(one: DocumentView, entry: EntryView) -> list[EntryView]:
    """The same model's entries for the other slices."""
    return [each for each in one.entries if each.model == entry.model and each.slice and each.slice != entry.slice]


def moved_cell(entry: EntryView, column: str) -> str:
    """The changed cell of a row that a key means: that under the cursor, else the only one."""
    if column in entry.changed:
        return column
    return next(iter(entry.changed), "") if len(entry.changed) == 1 else ""


# What it is, and what publishing would do.


def title(one: DocumentView, who: str, doing: str = "") -> Line:
    """`config models · live 126 · your draft on 126`."""
    spans: list[Span] = [(f"config {one.name}", BOLD)]
    spans.append((f" · live {one.version}" if one.version is not None else " · nothing is published yet", ""))
    if doing:
        spans.append((f" · {doing}", CYAN))
    if one.outside:
        spans.append((" · ≠ changed outside", MAGENTA))
    if one.draft is not None:
        spans.append((f" · {draft_named(one.draft, who)}", YELLOW))
    return line(*spans)


def draft_named(draft: DraftView, who: str) -> str:
    """`your draft on 126`, `tomek's draft`."""
    whose = "your" if is_own(draft, who) else f"{draft.who.partition('@')[0]}'s"
    return f"{whose} draft" + (f" on {draft.base}" if draft.base is not None else "")


def relative_told(one: DifferenceView) -> str:
    """`(−17 %)` for numbers."""
    return f"({f'{100 * one.relative:+.0f} %'.replace('-', '−')})" if one.relative is not None else ""


def difference_told(one: DifferenceView) -> str:
    """`0.58 → 0.48   (−17 %)`."""
    if one.kind == "added":
        return f"new: {one.new}"
    if one.kind == "removed":
        return f"gone: {one.old}"
    return f"{one.old} → {one.new}   {relative_told(one)}".rstrip() + ("  another type" if one.kind == "type changed" else "")


def stopping(draft: DraftView) -> list[FindingView]:
    """Findings that stop a publication."""
    return [one for one in draft.findings if one.severity == "stop"]


def outdated(one: DocumentView) -> bool:
    """The draft was begun on another version than the one that is live."""
    return one.draft is not None and one.draft.base != one.version


def going_lines(
    one: DocumentView, draft: DraftView, width: int, keys: Mapping[str, str], signs: Signs, schedule: Sequence[str]
) -> list[Line]:
    """If it is published: what changes, how it grows, the way back, and why."""
    stops = stopping(draft)
    lines: list[Line] = []
    if stops:
        lines += folded(
            f"{signs.failing} can't be published: {several(len(stops), 'finding')} stop{'s' if len(stops) == 1 else ''} it",
            width,
            style=RED,
        )
    elif outdated(one):
        told = f"{signs.look} begun on {draft.base or 'nothing'}, live is {one.version or 'nothing'}"
        lines += [
            *folded(told, width, style=YELLOW),
            *folded(f"mlconsole config rebase {one.name} puts its edits onto what is live", width),
        ]
    values = len(draft.differences)
    about = f"{several(values, 'value')} change{'s' if values == 1 else ''}" if values else "nothing is another"
    lines += folded(f"{about}:" if values else about, width, first=f"{keys['publish']}  ")
    for each in draft.differences[:_TOLD]:
        lines += folded(each.where or "the whole document", width, first="   ", style=BOLD)
        lines += folded(difference_told(each), width, first="   ")
    if values > _TOLD:
        lines += folded(f"and {values - _TOLD} more, below", width, first="   ", style=DIM)
    for text in schedule:
        lines += folded(text, width)
    lines += folded(f"way back: {back_then(one, draft, keys)}", width)
    if draft.reason:
        lines += folded(f'reason "{draft.reason}"', width)
    return lines


def back_then(one: DocumentView, draft: DraftView, keys: Mapping[str, str]) -> str:
    """Where `u` leads once the draft is published: `u to 126, ~45 s, only this value, any time`."""
    if one.version is None:
        return "none: it is the first version"
    lag = f", ~{duration(one.poll_lag)}" if one.poll_lag else ""
    only = "this value" if len(draft.differences) == 1 else f"these {len(draft.differences)} values"
    return f"{keys['go_back']} to {one.version}{lag}, only {only}, any time"


def quiet_lines(one: DocumentView, now: datetime, width: int, keys: Mapping[str, str]) -> list[Line]:
    """No draft: how one begins, the way back, what was published last."""
    if one.version is None:
        lines = folded("opens what it begins with in your editor, as a draft", width, first=f"{keys['edit']}  ")
        return [*lines, *folded("then publishes it: the plan first", width, first=f"{keys['publish']}  ")]
    lines = [line(("nothing is drafted", DIM))]
    lines += folded("on a value changes it, in a draft", width, first="enter  ")
    lines += folded("opens all of it in your editor", width, first=f"{keys['edit']}  ")
    if one.outside:
        lines = [*folded("puts ours back", width, first=f"{keys['go_back']}  ")]
        lines += folded("keeps theirs, as a release of ours, with a reason", width, first=f"{keys['keep']}  ")
        return [*lines, *folded(outside_told(one), width, style=MAGENTA)]
    if one.everywhere is not None and one.everywhere > now:
        lines += folded(f"{one.version} is everywhere by {clock(one.everywhere, seconds=True)}: clients poll", width, style=CYAN)
    if one.told:
        lines += folded(f"{one.publication}: {one.told}" if one.moving and one.publication else one.told, width, style=YELLOW)
    lines += way_back_lines(one, width, keys)
    live = next((each for each in one.versions if each.number == one.version), None)
    if live is not None:
        why = f', "{live.reason}"' if live.reason else ""
        lines += folded(f"{live.number}: {live.who.partition('@')[0]} {moment(live.created, now)}{why}", width, style=DIM)
    return lines


def way_back_told(one: DocumentView) -> str:
    """Where `u` leads; empty where there is nothing to go back to."""
    return "" if not one.way_back or one.way_back.startswith("none") else one.way_back


def way_back_lines(one: DocumentView, width: int, keys: Mapping[str, str]) -> list[Line]:
    """The way back."""
    told = way_back_told(one)
    return folded(f"way back: {keys['go_back']} {told}", width) if told else folded("nothing to go back to", width, style=DIM)


def schedule_told(policy: object, poll_lag: float, now: datetime) -> list[str]:
    """How a policy lets it grow, and when it would be everywhere and safe at the earliest."""
    stages = getattr(policy, "stages", ())
    if not stages:
        return []
    from datetime import timedelta

    shares = " → ".join(percent(stage.share) for stage in stages)
    bake = float(getattr(policy, "bake", 0.0))
    grown = sum(stage.wait for stage in stages[:-1]) + poll_lag
    safe = grown + stages[-1].wait + bake
    there, over = (now + timedelta(seconds=seconds) for seconds in (grown, safe))
    told = f"everywhere ~{clock(there)}, safe ~{clock(over)}"
    return [f"{getattr(policy, 'name', '')}: {shares} %" + (f", bake {duration(bake)}" if bake else ""), told]


# Findings.


def finding_lines(findings: Sequence[FindingView], width: int, signs: Signs) -> list[Line]:
    """What stops, what has to be looked at, each with its place; what passed in as few lines as can be."""
    lines: list[Line] = []
    before: FindingView | None = None
    for one in (each for wanted in ("stop", "look") for each in findings if each.severity == wanted):
        sign, style = (signs.failing, f"{BOLD} {RED}") if one.severity == "stop" else (signs.look, YELLOW)
        same = before is not None and one.pointer and (one.pointer, one.line) == (before.pointer, before.line)
        place = "same place" if same else place_told(one, width)
        lines += placed(sign, style, one.text, place, width)
        before = one
    passed = [(f"{signs.ok} ", one.text) for one in findings if one.severity == "ok"]
    return lines + flowing([((sign, GREEN), (text, "")) for sign, text in passed], width)


def place_told(one: FindingView, width: int) -> str:
    """`line 214  /relevance/pl/threshold`; as much of it as leaves room for the words."""
    at = f"line {one.line}" if one.line is not None else ""
    whole = "  ".join(part for part in (at, one.pointer) if part)
    return whole if len(whole) <= width * 2 // 5 else at or whole


def placed(sign: str, style: str, text: str, place: str, width: int) -> list[Line]:
    """A text with a place at the right of its first line; the others are indented."""
    pieces = folded(text, width - _SIGN_ROOM - (len(place) + 2 if place else 0))
    lines: list[Line] = []
    for number, piece in enumerate(pieces):
        spans: list[Span] = [(f"{sign} " if number == 0 else "  ", style), *piece[1:]]
        if number == 0 and place:
            spans += [(" " * max(2, width - width_of(line(*spans)) - len(place)), ""), (place, DIM)]
        lines.append(line(*spans))
    return lines


def flowing(pieces: Iterable[tuple[Span, ...]], width: int) -> list[Line]:
    """Short pieces side by side, as many in a line as fit."""
    lines: list[list[Span]] = []
    used = width + 1
    for piece in pieces:
        wide = width_of(line(*piece))
        if used + 2 + wide > width:
            lines.append([])
            used = -2
        lines[-1] += [*([("  ", "")] if used >= 0 else []), *piece]
        used += 2 + wide
    return [line(*spans) for spans in lines]


# Versions.


def version_rows(one: DocumentView, now: datetime, signs: Signs) -> list[Row]:
    """The history, newest first."""
    return [_version_row(each, now, signs) for each in sorted(one.versions, key=lambda each: -each.number)]


def _version_row(one: VersionView, now: datetime, signs: Signs) -> Row:
    touched = " │ ".join(each or "the whole document" for each in one.touched[:6]) + (" …" if len(one.touched) > 6 else "")
    cells: dict[str, str | Span] = {
        "number": (f"{one.number}{f' {signs.ok}' if one.live else ''}", BOLD if one.live else ""),
        "when": (moment(one.created, now) or "–", DIM),
        "who": one.who.partition("@")[0],
        "touched": touched or ("the first one" if one.parent is None else "nothing"),
        "reason": (one.reason, DIM),
    }
    return Row(str(one.number), cells)
