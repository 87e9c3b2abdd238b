"""The frame around every screen: where, world, screens, what needs you above; message and keys below. Nothing jumps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mlconsole.core.documents import document_of, target_told
from mlconsole.core.text import duration
from mlconsole.engine.views import CallerView, OperationView, RolloutView, Snapshot, State
from mlconsole.tui.actions import Action, Group
from mlconsole.tui.attention import open_alarms
from mlconsole.tui.figures import moment
from mlconsole.tui.pane import Line, Span, cut, fitted, line, plained, strip_of, width_of
from mlconsole.tui.rollout_words import row_two, running_rollouts
from mlconsole.tui.signs import BOLD, CYAN, DIM, PRODUCTION, STATE_STYLES, YELLOW, Signs, current

STALE = 6.0
"""Seconds after which data are told with their age; younger ones are *live*."""

_JUST = 600.0
"""Seconds for which an action that is over is told in row 2."""

SCREENS = (
    ("models", "1", "Models"),
    ("endpoints", "2", "Endpoints"),
    ("canary", "3", "Canary"),
    ("config", "4", "Config"),
    ("health", "5", "Health"),
    ("activity", "6", "Activity"),
)


class Bar(Widget):
    """One row of the screen: something at its left, something at its right; the left gives way."""

    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    class Clicked(Message):
        """A part of the row was clicked; `text` is the word under the mouse."""

        def __init__(self, bar: Bar, text: str) -> None:
            super().__init__()
            self.bar, self.text = bar, text

    def __init__(self, id: str) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._left: Line = ()
        self._right: Line = ()
        self._over = ""
        self._signs = current()

    def show(self, left: Line, right: Line = (), over: str = "") -> None:
        """Another content; drawn only when it differs."""
        left, right = plained(left, self._signs), plained(right, self._signs)
        if (left, right, over) != (self._left, self._right, self._over):
            self._left, self._right, self._over = left, right, over
            self.refresh()

    @property
    def text(self) -> str:
        """What the row says, for tests and for copying."""
        return "".join(text for text, _ in (*self._left, *self._right)).strip()

    def render_line(self, y: int) -> Strip:
        """The row."""
        width = self.size.width
        right_width = width_of(self._right)
        if right_width > width - 4:
            return strip_of(cut(self._left, width, self._signs), width, self._over)
        left = strip_of((*cut(self._left, width - right_width - 1, self._signs), (" ", "")), width - right_width, self._over)
        return Strip.join([left, strip_of(self._right, right_width, self._over)])

    def on_click(self, event: events.Click) -> None:
        """Tell what was clicked."""
        whole = "".join(text for text, _ in self._left)
        begin = whole.rfind(" ", 0, event.x + 1) + 1
        end = whole.find(" ", event.x)
        self.post_message(self.Clicked(self, whole[begin : end if end >= 0 else None].strip("[]")))


def where(
    snapshot: Snapshot | None, environment: str, production: bool, workspace: str, now: datetime, width: int, frozen: datetime | None = None
) -> tuple[Line, Line]:
    """Row 1: environment, workspace, backend (where, as whom and until when, as far as it tells), person@host; badge and clock. `frozen`:
    until when nothing goes forward.
    """
    name = "PRODUCTION" if production else environment.upper()
    badge = line((f" {name} ", PRODUCTION if production else BOLD))
    parts: list[str] = []
    if snapshot is not None:
        backend = f"{snapshot.backend} {environment}" if production else snapshot.backend
        parts = [workspace, *(_acting(snapshot.caller, now, width) if snapshot.caller is not None else [backend]), snapshot.who]
    text = ("  " + " · ".join(parts)) if width >= 60 else f" {workspace}"
    right = now.astimezone().strftime("%a %H:%M " if width >= 60 else "%H:%M ")
    read_only = snapshot is not None and snapshot.status.read_only
    until = f" until {moment(frozen, now)}" if width >= 60 else ""
    marks = ["READ ONLY "] if read_only else [f"FREEZE{until} "] if frozen is not None else []
    return (*badge, *line(text)), line(*((mark, f"{BOLD} {YELLOW}") for mark in marks), right)


def _acting(caller: CallerView, now: datetime, width: int) -> list[str]:
    """`eu-west-1 …9012` and `ops until 18:30`: where one is, and as whom."""
    account = f"…{caller.account[-4:]}" if caller.account else ""
    place = " ".join(part for part in (caller.region if width >= 100 else "", account) if part)
    name = caller.name if width >= 100 else caller.name.partition("/")[0]
    over = caller.expires is not None and caller.expires <= now
    ends = f" {'ended' if over else 'until'} {moment(caller.expires, now)}" if caller.expires is not None else ""
    return [part for part in (place, f"{name}{ends}") if part]


def world(snapshot: Snapshot | None, now: datetime, signs: Signs, width: int) -> tuple[Line, str]:
    """Row 2: counts that add up to all endpoints · running changes · who watches · age of data; and a style over all of it.

    Where it is too long, what matters least is told shorter or left out first; the counts, and that nobody watches, stay.
    """
    if snapshot is None:
        return line((" looking for the first time …", DIM)), ""
    blind = bool(snapshot.blind)
    counts: list[tuple[str, str]] = []
    for state in (State.OK, State.CHANGING, State.LOOK, State.FAILING, State.NO_DATA):
        number = snapshot.status.count(state)
        if width < 60 and not number:
            continue
        figure = "–" if blind and state is not State.NO_DATA else str(number)
        counts.append((f"{signs.of(state)}{figure} ", STATE_STYLES[state] if number else DIM))
    # Blind, the last look saw nothing: what is shown is as old as what was last seen.
    at = snapshot.seen if blind else snapshot.status.at
    age = (now - at).total_seconds() if at is not None else None
    live = age is not None and age < STALE and not blind
    told = "data live" if live else "NEVER SEEN" if age is None else f"DATA {duration(max(0.0, age)).upper()} OLD"
    rollouts = running_rollouts(snapshot)
    told_there = {one.endpoint for one in rollouts}
    running = [one for one in snapshot.status.running if one.endpoint not in told_there]
    watches = watcher_told(snapshot, now, signs)
    does = _doing(snapshot, now, signs)
    spans: list[tuple[str, str]] = []
    changes = [_changing(rollouts, running, now, signs, brief) for brief in (0, 1, 2)] if rollouts or running else []
    for run, watcher in _shorter(changes, watches, does, most=width):
        parts = [part for part in (run, watcher, (told, "" if live else "bold red")) if part[0]]
        spans = [(" ", ""), *counts]
        for text, words in parts:
            spans += [("│ ", DIM), (text, words), (" ", "")]
        spans.pop()
        spans = [(signs.plain(text), words) for text, words in spans]
        if width_of(spans) <= width:
            break
    return line(*spans), "reverse red" if blind else ""


def _changing(rollouts: Sequence[RolloutView], running: Sequence[OperationView], now: datetime, signs: Signs, brief: int) -> str:
    """The rollouts and the other changes under way, in a few words; the more `brief`, the fewer."""
    if not rollouts:
        return running_told(running, brief)
    more = len(rollouts) + len(running) - 1
    return row_two(rollouts[0], now, signs, brief) + (f" +{more}" if more else "")


def _shorter(changes: Sequence[str], watches: Span, does: Span, *, most: int) -> Iterator[tuple[Span, Span]]:
    """What of the changes and of who watches is told, the longest first."""
    nothing: Span = ("", "")
    quiet = watches[1] == "" or watches[1] == DIM
    if not changes:
        tellings = [does] if does[0] else [("no change", ""), nothing]
        if most < 60 and not does[0]:
            tellings = [nothing]
    else:
        tellings = [(text, CYAN) for text in changes]
    for told in tellings:
        yield told, watches
    if quiet:
        yield tellings[-1], nothing
    yield nothing, watches
    yield nothing, (watches[0].partition(" since")[0], watches[1])


def _doing(snapshot: Snapshot, now: datetime, signs: Signs) -> Span:
    """The action that runs, or was over a moment ago."""
    for run in snapshot.health.runs if snapshot.health is not None else ():
        if run.state in ("asked", "running"):
            return f"{signs.changing} F {run.action} {run.state}", CYAN
        if run.ended is not None and (now - run.ended).total_seconds() < _JUST:
            return f"F {run.action} {signs.ok if run.state == 'done' else signs.failing} {run.state}", ""
    return "", ""


def watcher_told(snapshot: Snapshot, now: datetime, signs: Signs) -> Span:
    """Who watches; in red that nobody does only while something is wrong, or a change runs in production."""
    status = snapshot.status
    watcher = snapshot.health.watcher if snapshot.health is not None and snapshot.health.watcher.alive else status.watcher
    if watcher.alive:
        only = " only" if snapshot.guardian_only and (status.running or running_rollouts(snapshot)) else ""
        natives = snapshot.health.natives if snapshot.health is not None else ()
        alarms = f" alarms {sum(one.ok is True for one in natives)}/{len(natives)}" if natives else ""
        return (f"guardian{only} ●{alarms}", "") if not watcher.trouble else (f"guardian{only} {signs.look}{alarms}", YELLOW)
    if snapshot.health is None and watcher.since is None:
        return "only you watch", DIM
    since = f" since {moment(watcher.since, now)}" if watcher.since else ""
    wrong = (
        bool(open_alarms(snapshot))
        or status.count(State.FAILING) > 0
        or (status.production and bool(status.running or running_rollouts(snapshot)))
    )
    return f"NOBODY WATCHES{since}", "reverse red" if wrong else YELLOW


def running_told(running: Sequence[OperationView], brief: int = 0) -> str:
    """The running changes in a few words; the more `brief`, the fewer."""
    if not running:
        return "no change"
    first = running[0]
    name, own = target_told(first.endpoint), "config " if document_of(first.endpoint) is not None else ""
    what = f" {first.now.removeprefix(own)} → {first.then.removeprefix(own)}" if brief == 0 else ""
    way = f"← {name} going back" if first.state == "going back" else f"~ {name}{what}"
    place = f", step {first.step}/{first.steps}" if first.steps and first.state != "going back" and brief < 2 else ""
    interrupted = ", interrupted" if first.interrupted else ""
    return f"{way}{place}{interrupted}" + (f" +{len(running) - 1}" if len(running) > 1 else "")


def screens(now: str, right: str, width: int, signs: Signs) -> tuple[Line, Line]:
    """Row 3: the screens, the present one in brackets; what is shown, as far as there is room for it."""
    spans: list[str | tuple[str, str]] = []
    for name, key, label in SCREENS:
        spans.append((f"[{key} {label}]", BOLD) if name == now else f" {key} {label} ")
    left = line(*spans)
    if width_of(left) > width - 2:  # a blank less between two of them, and nothing at the right
        return _screens_tight(now), ()
    return left, line((fitted(right, min(cell_len(signs.plain(right)), max(0, width - width_of(left) - 3)), signs) + " ", DIM))


def _screens_tight(now: str) -> Line:
    here = [name for name, _, _ in SCREENS].index(now)
    spans: list[str | tuple[str, str]] = []
    for place, (_, key, label) in enumerate(SCREENS):
        spans += ["[" if place == here else "]" if place == here + 1 else " ", (f"{key} {label}", BOLD if place == here else "")]
    return line(*spans, "]" if here == len(SCREENS) - 1 else "")


def keys(shown: Sequence[tuple[Action, bool]], width: int, signs: Signs) -> Line:
    """The last row: what looks │ what goes back │ what goes FORWARD; a key that is off is dim, and says why when pressed."""
    kinds = ((Group.LOOK, Group.DRAFT), (Group.BACK,), (Group.FORWARD,))
    told = [
        (kind, f"{_key(action.key)} {action.label}", DIM if off else BOLD if action.group is Group.FORWARD else "")
        for kind, wanted in enumerate(kinds)
        for action, off in shown
        if action.group in wanted and _key(action.key)
    ]
    # What does not fit goes: first what only looks, from the end; then what is off; then what goes forward. The first and `?` stay: that
    # tells of the others.
    looks, rest = [one for one in told if one[0] == 0], [one for one in reversed(told) if one[0]]
    going = [*looks[-2:0:-1], *(one for one in rest if one[2] == DIM), *(one for one in rest if one[0] == 2)]
    while going and _length(told, signs) >= width:
        gone = going.pop(0)
        if gone in told:
            told.remove(gone)
    groups = [inside for each in range(len(kinds)) if (inside := [(text, words) for kind, text, words in told if kind == each])]
    spans: list[tuple[str, str]] = [(" ", "")]
    for place, group in enumerate(groups):
        spans += [(f"{signs.rule} ", DIM)] if place else []
        for text, words in group:
            spans.append((text + "  ", words))
    text, words = spans[-1]
    return line(*spans[:-1], (text.rstrip(" "), words))


def _length(told: Sequence[tuple[int, str, str]], signs: Signs) -> int:
    return sum(len(signs.plain(text)) + 2 for _, text, _ in told) + 2 * len({kind for kind, _, _ in told}) - 3


def _key(key: str) -> str:
    return {"left": "←→", "right": "", "escape": "esc", "question_mark": "?", "[": "[ ]", "]": ""}.get(key, key)
