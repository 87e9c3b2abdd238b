"""Health: what is wrong, since when, what would help and what would not; how it recovers; and how each endpoint does when all is well."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from mlconsole.core.text import duration
from mlconsole.engine.views import AlarmView, EndpointHealthView, Snapshot
from mlconsole.engine.views import HealthView as Health
from mlconsole.tui import health_parts as parts
from mlconsole.tui import health_words as words
from mlconsole.tui.figures import clock, count, moment
from mlconsole.tui.health_keys import HealthKeys
from mlconsole.tui.health_phone import phone_lines
from mlconsole.tui.layout import Box, shared_out
from mlconsole.tui.pane import Line, Pane, Under, cut, line
from mlconsole.tui.signs import BOLD, DIM
from mlconsole.tui.table import Column, LiveTable, Row
from mlconsole.tui.trends import Trends, span_told, trend_lines

_ENDPOINTS = (
    Column("name", "ENDPOINT", least=12, most=24, keep=100),
    Column("state", "STATE", least=12, most=30, grows=True, keep=98),
    Column("same", "SAME", right=True, least=6, keep=80),
    Column("errors", "ERR %", right=True, least=6, keep=85),
    Column("p95", "P95", right=True, least=5, keep=50),
    Column("rate", "REQ/S", right=True, least=6, keep=40),
    Column("worst", "WORST", right=True, least=8, most=16, keep=60),
    Column("since", "SINCE", right=True, least=6, most=10, keep=70),
)
_HELP = 36
"""Columns of what would help, where it stands beside."""

_FRAME = 6
"""Lines of the screen that are the frame's."""

_OLD = 60.0
"""Seconds after which the newest prediction is told with its age."""

_Given = dict[str, int]
"""Lines of each box that is there."""


class HealthScreen(HealthKeys):
    """The subject beside what would help; trends; all endpoints; dependencies. `enter` goes into one endpoint, `esc` out again."""

    screen_name = "health"
    help_text = "How each endpoint does by what it really predicted, slice by slice: what is wrong, and what would help."

    DEFAULT_CSS = """
    HealthScreen > #top > #left > #subject, HealthScreen > #top > #left > #slices { height: 1fr; }
    HealthScreen > #top > #left > #under { height: 1; }
    HealthScreen > #top > #help { width: 36; }
    """

    def compose(self) -> ComposeResult:
        """All boxes there may be; those that have nothing are absent."""
        signs = self.signs
        with Horizontal(id="top"):
            with Vertical(id="left"):
                yield Pane("", id="subject", signs=signs)
                yield LiveTable(parts.SLICES, "", id="slices", signs=signs)
                yield Under("", id="under", focusable=False, signs=signs)
            yield Pane("what would help", id="help", edges="lr", joints=("t", "tr"), focusable=False, signs=signs)
        yield Pane("what happened", id="happened", hint="y copies this as a report", signs=signs)
        yield Pane("left to do", id="todo", focusable=False, signs=signs)
        yield Pane("scores beside the baseline", id="scores", signs=signs)
        yield Pane("pairs", id="pairs", signs=signs)
        yield Trends("", id="trends", hint="[ ] shorter, longer", focusable=False, signs=signs)
        yield LiveTable(_ENDPOINTS, "all endpoints", id="main", hint="enter into one", signs=signs)
        yield Pane("dependencies", id="dependencies", focusable=False, signs=signs)
        yield self.phone_pane()

    def on_mount(self) -> None:
        """What is remembered between two snapshots."""
        self._wanted = ""

    def open_subject(self, name: str) -> None:
        """Put the cursor on it, now or once it is there."""
        self._wanted, self._inside = name, False

    # What is shown.

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """The endpoints, and the rest of the one under the cursor."""
        health, table = snapshot.health, self.query_one("#main", LiveTable)
        if health is not None:
            found = [one for one in health.endpoints if not self.ui.faults_only or one.verdict != "pass" or one.alarm is not None]
            table.fill([self._row(one, health) for one in found], dimmed=bool(snapshot.blind))
            if self._wanted:
                table.go_to(self._wanted)
                self._wanted = ""
            if table.cursor is not None:
                self.ui.subject = table.cursor.key
        self.render_subject(snapshot)

    def shown(self, snapshot: Snapshot) -> str:
        """The subject, and how many are not well."""
        if snapshot.health is None:
            return ""
        faults = sum(1 for one in snapshot.health.endpoints if one.verdict == "fail")
        subject = f"{self.ui.subject} · " if self.ui.is_wide else ""
        return f"{subject}faults {faults} of {len(snapshot.health.endpoints)}"

    def _row(self, one: EndpointHealthView, health: Health) -> Row:
        cells = words.figure_cells(one.figures)
        cells |= {
            "name": (one.endpoint, BOLD),
            "state": words.state_span(one, health, self.signs),
            "worst": words.worst_of(one),
            "since": moment(one.since, health.at),
        }
        return Row(one.endpoint, cells, text=f"{one.endpoint} {one.title} {one.verdict}")

    def render_subject(self, snapshot: Snapshot) -> None:
        """Everything but the table of endpoints."""
        if self.has_class("-phone"):
            return
        health, one, alarm = snapshot.health, self.chosen(), self.alarm()
        width = self.ui.size.width
        dimmed = bool(snapshot.blind)
        if health is None:
            self._lay_out([Box("top", 4, 99, 0)], subject=True, beside=False)
            pane = self.query_one("#subject", Pane)
            pane.head("health")
            pane.show(parts.teaching(width - 4))
            return
        recovering = alarm is not None and alarm.state == "recovering" and not self._inside
        firing = alarm is not None and not recovering and not self._inside
        room = self.ui.size.height - _FRAME
        beside = self._beside(health, one, alarm, room) if width >= 100 else []
        inner = width - 4 - (_HELP - 1 if beside else 0)
        left = self.query_one("#subject", Pane)
        slices, under = self.query_one("#slices", LiveTable), self.query_one("#under", Under)
        boxes: list[Box] = []
        last: list[Line] = []
        if firing and alarm is not None:
            told = words.alarm_lines(alarm, inner, 99)
            back = [] if beside else words.way_back_lines(alarm, health, inner, self._keys)
            wanted = max(len(told) + len(back), 8 if beside else 0) + 1
            boxes.append(Box("top", min(9, wanted), min(wanted, room * 3 // 5), 0))
        elif one is not None:
            rows = (
                words.recovery_rows(alarm, one, self.signs) if recovering and alarm else parts.slice_rows(one, self.signs, self.ui.language)
            )
            slices.set_columns(words.recovery_columns(alarm) if recovering and alarm else parts.SLICES)
            slices.fill(rows, dimmed=dimmed)
            if recovering and alarm and not beside:
                last = [line(f"way back  {words.way_back_told(alarm)}")]
            wanted = max(len(rows) + 2 + len(last), len(beside) + 1)
            boxes.append(Box("top", min(5, wanted), wanted if self._inside else min(wanted, room // 2), 0, eager=recovering))
        else:
            boxes.append(Box("top", 3, 4, 0))
        boxes += self._boxes(health, one, alarm, recovering, beside=bool(beside))
        given = self._lay_out(boxes, subject=firing or one is None, beside=bool(beside), under=bool(last))
        under.show(last)
        self._head(health, one, alarm, recovering=recovering)
        if firing and alarm is not None:
            lines = [] if beside else words.way_back_lines(alarm, health, inner, self._keys)
            if len(beside) >= given["top"]:
                beside = words.help_lines(alarm, health, _HELP - 4, self._keys, given["top"] - 1)
            left.show([*words.alarm_lines(alarm, inner, given["top"] - 1 - len(lines)), *lines], dimmed=dimmed)
        elif one is None:
            left.show([line("No endpoint has health to tell of yet: nothing was predicted.")])
        self.query_one("#help", Pane).show(beside)
        self._fill(health, one, alarm, given, dimmed=dimmed)

    def _beside(self, health: Health, one: EndpointHealthView | None, alarm: AlarmView | None, room: int) -> list[Line]:
        """What stands at the top right on a wide screen: what would help; what is left to do; else the scores beside the baseline."""
        inner, pane = _HELP - 4, self.query_one("#help", Pane)
        if alarm is not None and not self._inside:
            if alarm.state == "recovering":
                pane.head("way back")
                told = words.folded(words.way_back_told(alarm), inner)
                return [*told, *words.folded(words.has_it_told(alarm, health.at), inner, first=f"{self._keys['acknowledge']}  ")]
            pane.head("what would help")
            return words.help_lines(alarm, health, inner, self._keys)
        if one is None:
            return []
        notes = parts.note_lines(one, inner, self.signs)[:4]
        pane.head(parts.histogram_title(one) if one.histogram else "to know")
        return [*notes, *parts.histogram_lines(one, inner, (20 if self._inside else min(11, room // 2 - 1)) - len(notes), self.signs)]

    def _boxes(
        self, health: Health, one: EndpointHealthView | None, alarm: AlarmView | None, recovering: bool, *, beside: bool
    ) -> list[Box]:
        """The boxes below the first one, as far as they have something to tell."""
        boxes = []
        if recovering and alarm is not None:
            boxes.append(Box("happened", 3, len(alarm.events) + 1 if alarm.events else 0, 1, eager=True))
            left = words.left_lines(alarm, one, self.ui.environment.name, self.ui.size.width - 4)
            boxes.append(Box("todo", 2, len(left) + 1, 2, eager=True))
        elif alarm is None or self._inside:
            notes = parts.note_lines(one, self.ui.size.width - 4, self.signs) if one is not None and not beside else []
            boxes.append(Box("todo", 2, len(notes) + 1 if notes else 0, 3))
            bins = len(one.histogram.now) if one is not None and one.histogram is not None else 0
            if self._inside and not beside:
                boxes.append(Box("scores", 5, min(12, bins + 2) if bins else 0, 3))
            pairs = one.pairs if one is not None else None
            over = _closed(health, self.ui.subject)
            boxes.append(Box("happened", 3, len(over.events) + 1 if over is not None and over.events else 0, 8))
            boxes.append(Box("pairs", 2, (2 + bool(pairs.unpaired or pairs.failed) + len(pairs.worst)) if pairs else 0, 4))
        trends = len(one.trends) + 1 + bool(one.marks) if one is not None and one.trends else 0
        boxes.append(Box("trends", min(4, trends), trends, 6 if recovering else 2))
        if not self._inside:
            endpoints = len(self.query_one("#main", LiveTable).rows)
            boxes.append(Box("main", 4, endpoints + 2, 5 if recovering else 1))
            boxes.append(Box("dependencies", 2, len(below) + 1 if (below := self._probe_lines(health)) else 0, 7))
        return boxes

    def _probe_lines(self, health: Health) -> list[Line]:
        width = self.ui.size.width - 4
        notes = [cut(line((f"· {note}", DIM)), width, self.signs) for note in health.notes]
        return [*parts.probe_lines((*health.probes, *health.natives), width, self.signs), *notes]

    def _head(self, health: Health, one: EndpointHealthView | None, alarm: AlarmView | None, *, recovering: bool) -> None:
        """The title of the first box: the subject, and how it is."""
        name = self.ui.subject
        if alarm is not None and name not in alarm.endpoints:  # one that is about no endpoint
            name = ", ".join(alarm.endpoints) or next((found.subject for found in alarm.findings if found.subject), alarm.environment)
        left = self.query_one("#slices" if recovering or self._inside or alarm is None else "#subject", Pane)
        if alarm is not None and not self._inside:
            worst = alarm.triage.title or alarm.title.upper()
            told = line((name, BOLD), (f" · RECOVERING · was: {words.spoken(worst)}" if recovering else f" · {worst}", BOLD))
            left.head(told, words.who_has(alarm) if recovering or self.ui.size.width < 100 else "")
        elif one is not None:
            span = f" in {duration(one.figures.seconds)}" if one.figures.seconds else ""
            state, style = words.state_span(one, health, self.signs)
            left.head(line((name, BOLD), " · ", (state, style)), f"{count(one.figures.n)} predictions{span}" if one.figures.n else "")
        else:
            self.query_one("#subject", Pane).head("health")

    def _fill(self, health: Health, one: EndpointHealthView | None, alarm: AlarmView | None, given: _Given, *, dimmed: bool) -> None:
        """Every box below the first one that has its place."""
        width = self.ui.size.width - 4
        told = alarm if alarm is not None and not self._inside else _closed(health, self.ui.subject)
        if "happened" in given and told is not None:
            lines = words.happened_lines(told)
            closed = f" · alarm {told.number}, well again {clock(told.closed)}" if told.closed is not None else ""
            self.query_one("#happened", Pane).head(f"what happened{closed}", "y copies this as a report" if not closed else "")
            self.query_one("#happened", Pane).show(lines[-(given["happened"] - 1) :])  # the newest, where there is no room for all
        if "todo" in given:
            todo = self.query_one("#todo", Pane)
            recovering = alarm is not None and not self._inside
            todo.head("left to do" if recovering else "to know")
            if recovering and alarm is not None:
                todo.show(words.left_lines(alarm, one, self.ui.environment.name, width))
            elif one is not None:
                todo.show(parts.note_lines(one, width, self.signs))
        if "scores" in given and one is not None:
            self.query_one("#scores", Pane).head(parts.histogram_title(one))
            self.query_one("#scores", Pane).show(parts.histogram_lines(one, width, given["scores"] - 1, self.signs))
        if "pairs" in given and one is not None and one.pairs is not None:
            pairs = one.pairs
            pane = self.query_one("#pairs", Pane)
            pane.head(f"{pairs.live} beside its shadow {pairs.shadow} · {count(pairs.n)} pairs in {duration(pairs.seconds)}")
            pane.show(parts.pair_lines(pairs, given["pairs"] - 1))
        if "trends" in given and one is not None:
            trends = self.query_one("#trends", Trends)
            age = (health.at - health.as_of).total_seconds() if health.as_of else 0.0
            old = f" · newest prediction {duration(age)} old" if age >= _OLD else ""
            trends.head(f"{span_told(one.trends)}{old}", "[ ] shorter, longer")
            trends.show(trend_lines(one.trends, one.marks, width, given["trends"] - 1, self.signs), dimmed=dimmed)
        if "dependencies" in given:
            self.query_one("#dependencies", Pane).show(self._probe_lines(health), dimmed=dimmed)

    def _lay_out(self, boxes: list[Box], *, subject: bool, beside: bool, under: bool = False) -> _Given:
        """Give each box its lines; boxes that get none are absent. What borders on what is drawn so."""
        given = shared_out(self.ui.size.height - _FRAME - 1, boxes, "top" if self._inside or len(boxes) == 1 else "main")
        names = list(given)
        last = names[-1]
        width = self.ui.size.width
        for name in ("top", "happened", "todo", "scores", "pairs", "trends", "main", "dependencies"):
            widget = self.query_one(f"#{name}")
            widget.display = name in given
            if name not in given:
                continue
            widget.styles.height = given[name] + (name == last)
            if isinstance(widget, Pane):
                ends = width - _HELP if beside and len(names) > 1 and name == names[1] else None
                widget.edged("lrb" if name == last else "lr", ("l", "r"), ends=ends)
        bottom = "b" if last == "top" else ""
        for name, there in (("subject", subject), ("slices", not subject)):
            pane = self.query_one(f"#{name}", Pane)
            pane.display = there
            pane.edged(("l" if beside else "lr") + bottom, ("tl", "" if beside else "tr"))
        self.query_one("#under").display = under
        side = self.query_one("#help", Pane)
        side.display = beside
        side.edged("lr" + bottom, ("t", "tr"))
        return given

    @property
    def _keys(self) -> dict[str, str]:
        return {name: self.ui.actions_by_id[name].key for name in ("fix", "acknowledge", "more")}

    def phone_lines(self, snapshot: Snapshot) -> list[Line]:
        """The alarm and what would help; else the endpoints, and the one under the cursor."""
        return phone_lines(snapshot.health, self.chosen(), self.alarm(), self._keys, self.signs)


def _closed(health: Health, endpoint: str) -> AlarmView | None:
    """The newest alarm of an endpoint that is over."""
    over = [one for one in health.alarms if one.closed is not None and endpoint in one.endpoints]
    return max(over, key=lambda one: one.number, default=None)
