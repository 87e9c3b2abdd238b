"""Activity: what was changed, by whom, who approved it, step by step; the way back to any of it; what happened while one was away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal

from mlconsole.core.documents import document_of, target_told
from mlconsole.core.errors import MLConsoleError
from mlconsole.engine.views import OperationView, Snapshot, StepView
from mlconsole.tui import request_words
from mlconsole.tui.dialogs import TextBox
from mlconsole.tui.pane import Line, Pane, line
from mlconsole.tui.screens import changes as told
from mlconsole.tui.screens.changes import Happening
from mlconsole.tui.screens.endpoints import endpoint_why_off, wrapped
from mlconsole.tui.seen import Away, Seen
from mlconsole.tui.signs import BOLD, DIM, RED, YELLOW
from mlconsole.tui.table import Column, LiveTable
from mlconsole.tui.view import View

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_COLUMNS = (
    Column("when", "WHEN", least=5, most=11, keep=80),
    Column("who", "WHO", least=4, most=10, keep=70),
    Column("what", "WHAT", least=24, most=200, grows=True, keep=100),
    Column("result", "RESULT", least=11, most=16, keep=90),
)
_THERE = timedelta(minutes=5)
"""Who pressed a key within that time is there, and sees what comes; who did not is away, though the console is open."""
_AGAIN = 2.0
"""Seconds after which steps that could not be read are asked for again."""


class ActivityView(View):
    """Changes, newest first; beside them the way back; below the steps of the one under the cursor, and who it was."""

    screen_name = "activity"
    actions: ClassVar[tuple[str, ...]] = ("enter", "raw", "logs", "copy", "more", "faults", "mark", "go_back", "keep")
    help_text = "Every change of this environment: who, when, what was asked and read back. u on an older one makes its state live again."

    DEFAULT_CSS = """
    ActivityView > #top { height: 1fr; }
    ActivityView > #top > #back { width: 35; }
    ActivityView > #detail { height: 10; }
    ActivityView > #tail { height: 3; }
    ActivityView.-narrow > #top > #back { display: none; }
    """

    def compose(self) -> ComposeResult:
        """The table beside the way back; the steps; who it was (on a narrow screen: the way back)."""
        signs = self.signs
        empty = [
            line(("Nothing was changed here yet.", BOLD)),
            line("1 shows the registered versions; D on one of them deploys it."),
        ]
        with Horizontal(id="top"):
            yield LiveTable(_COLUMNS, "changes", id="main", edges="l", joints=("tl", ""), empty=empty, signs=signs)
            yield Pane("way back", id="back", edges="lr", joints=("t", "tr"), focusable=False, signs=signs)
        yield Pane("", id="detail", edges="lr", signs=signs)
        yield Pane("", id="tail", edges="lrb", focusable=False, signs=signs)
        yield self.phone_pane()

    def on_mount(self) -> None:
        """What is remembered between two snapshots."""
        self._happened: dict[str, Happening] = {}
        self._steps: dict[str, tuple[str, Sequence[StepView] | MLConsoleError]] = {}
        self._asked: dict[str, str] = {}
        self._round = 0
        self._of: Snapshot | None = None
        self._wanted = ""
        self._away: Away | None = None

    def fit(self, width: int, height: int) -> None:
        """One pane below 100 columns; the steps get what is left over."""
        narrow = width < 100
        self.set_class(narrow, "-narrow")
        self.query_one("#main", LiveTable).edged("lr" if narrow else "l", ("tl", "tr" if narrow else ""))
        self.query_one("#detail", Pane).edged("lr", ("l", "r"), ends=None if narrow else width - 35)
        self.query_one("#detail").styles.height = max(5, min(14, (height - 6) * 2 // 5))
        self.query_one("#tail").styles.height = 4 if narrow and height >= 24 else 3

    # What is shown.

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """The table from the snapshot, and the rest from the row under the cursor."""
        if snapshot is not self._of:
            self._round, self._of = self._round + 1, snapshot
        every = told.happenings(snapshot)
        self._happened = {one.key: one for one in every}
        self._mark_unseen(every, snapshot)
        shown = [one for one in every if (one.is_fault or not self.ui.faults_only) and self._speaks_of_language(one)]
        table = self.query_one("#main", LiveTable)
        table.marked = set(self._unseen)
        now = self.ui.now()
        table.fill([told.row(one, now, self.signs, unseen=one.key in self._unseen) for one in shown], dimmed=bool(snapshot.blind))
        if self._wanted:
            self._go_to_subject(table)
        if self._unseen:
            since = self._away.read if self._away else None
            table.head(f"while you were away · {told.when(since, now) if since else ''} – now", "space mark as read")
        else:
            table.head("changes", "newest first")
        self._render_chosen(snapshot)

    def shown(self, snapshot: Snapshot) -> str:
        """How many of how many, and how many are new."""
        table = self.query_one("#main", LiveTable) if self.query("#main") else None
        total = len(self._happened)
        new = f" · {len(self._unseen)} unseen" if self._unseen else ""
        return f"{len(table.rows) if table else total} of {total}{new}"

    def chosen(self) -> Happening | None:
        """What the cursor is on."""
        row = self.query_one("#main", LiveTable).cursor if self.query("#main") else None
        return self._happened.get(row.key) if row else None

    def _speaks_of_language(self, one: Happening) -> bool:
        language = self.ui.language
        if not language or one.outside is not None:
            return True
        return f"{language}:" in f"{one.change.now if one.change else ''} {one.content}"

    def _render_chosen(self, snapshot: Snapshot) -> None:
        one = self.chosen()
        back, detail, tail = (self.query_one(name, Pane) for name in ("#back", "#detail", "#tail"))
        if one is None:
            for pane in (back, detail, tail):
                pane.head("way back" if pane is back else "")
                pane.show([])
            return
        self.ui.subject = one.endpoint
        narrow = self.has_class("-narrow")
        width = detail.inner_width
        title = "your choice" if one.outside is not None else "way back" if one.request is None else "a colleague's word"
        back.head(title)
        back.show(told.way_back_lines(one, snapshot, back.inner_width, self.signs), dimmed=bool(snapshot.blind))
        told_by = told.from_where(one) + (f' · "{one.reason}"' if one.reason else "")
        lines = self._evidence(one, width)
        if narrow:
            lines = [*lines, line(""), *wrapped(told_by, width, DIM)]
        detail.head(self._title(one), "v raw" if one.change else "enter reads it" if one.request else "")
        detail.show(lines)
        tail.head(title if narrow else "who, from where")
        tail.show(
            told.way_back_lines(one, snapshot, width, self.signs) if narrow else [line(told_by)], dimmed=narrow and bool(snapshot.blind)
        )

    def _title(self, one: Happening) -> str:
        if one.outside is not None:
            return f"{one.endpoint} · " + ("not ours" if one.outside.release is None else "changed outside")
        if one.change is not None:
            return f"{target_told(one.endpoint)} {one.change.now} → {one.change.then} · {one.change.kind} {one.change.id}"
        if one.request is not None:
            return f"request {one.request.number} · {one.request.summary} · plan {one.request.plan}"
        return f"{told.what(one)} · #{one.release}"

    def _evidence(self, one: Happening, width: int) -> list[Line]:
        if one.outside is not None:
            return told.outside_lines(one.outside, width, self.signs)
        if one.adopted is not None:
            return told.adopted_lines(one.adopted, width)
        if one.request is not None:
            said = request_words.said_lines(one.request, self.ui.now(), width)
            return [*said, line(""), *request_words.effect_lines(one.request, width)]
        assert one.change is not None
        steps = self._steps_of(one)
        if isinstance(steps, MLConsoleError):
            return wrapped(f"Its steps can't be read: {steps}", width, RED)
        return told.change_lines(one.change, steps, self.signs, width)

    def _steps_of(self, one: Happening) -> Sequence[StepView] | MLConsoleError | None:
        """The steps, as far as they were read; asked for where they may be others by now."""
        change = one.change
        assert change is not None
        # What is over has its steps for ever; a running one has new ones at any time; what could not be read is tried again.
        of = change.state if not one.running else f"{change.state} {self._round}"
        known = self._steps.get(change.id)
        stale = known is None or known[0] != of or isinstance(known[1], MLConsoleError)
        asked = f"{of} {self._round}"
        if stale and self._asked.get(change.id) != asked:
            self._asked[change.id] = asked

            def call(session: Session) -> Sequence[StepView] | MLConsoleError:
                from mlconsole.engine.history import change as look

                try:
                    return look(session, change.id)[1]
                except MLConsoleError as error:
                    return error

            self.ui.ask_quietly(call, lambda steps: self._got(change.id, of, steps))
        return known[1] if known else None

    def _got(self, change: str, of: str, steps: Sequence[StepView] | MLConsoleError) -> None:
        if not self.is_attached:
            return
        self._steps[change] = (of, steps)
        if isinstance(steps, MLConsoleError):
            self.set_timer(_AGAIN, self._ask_again)
        one, snapshot = self.chosen(), self.snapshot
        if one is not None and one.change is not None and one.change.id == change and snapshot is not None:
            self._render_chosen(snapshot)
            self.refresh_phone(snapshot)

    def _ask_again(self) -> None:
        """What could not be read is tried again, though nothing else is new."""
        self._round += 1
        if self.snapshot is not None and self.display:
            self._render_chosen(self.snapshot)

    # What happened while one was away.

    def _mark_unseen(self, every: Sequence[Happening], snapshot: Snapshot) -> None:
        # The last known state may be another person's, who looked last: whose place it is, only the first one of our own tells.
        if self._away is None or self._away.who != snapshot.who:
            seen = Seen(self.ui.workspace.root / ".mlconsole", snapshot.who, writes=not (self.ui.read_only or snapshot.status.read_only))
            self._away = Away(seen, self.ui.environment.name, snapshot.who)
        there = self.ui.now() - self.ui.touched < _THERE and self.ui.asleep < _THERE
        self._away.look(every, snapshot.status.at, there=there, fresh=snapshot is not self.ui.from_disk)

    @property
    def _unseen(self) -> AbstractSet[str]:
        return self._away.unseen if self._away is not None else frozenset()

    def on_hide(self) -> None:
        """Another screen: what happens meanwhile is new on coming back."""
        if self._away is not None:
            self._away.leave()

    on_unmount = on_hide

    def act_mark(self) -> None:
        """All of it is read."""
        if self.snapshot is not None and self._away is not None:
            self._away.mark_read(self.snapshot.status.at)
            self.ui.render_all()
            self.ui.say("Marked as read: what comes from now on is new.")

    # The way back.

    def why_off(self, action: str) -> str:
        """What the row under the cursor does not allow."""
        if action == "mark":
            return "" if self._unseen else "space is off: nothing here is new to you."
        if action in ("faults", "copy", "help"):
            return ""
        one, snapshot = self.chosen(), self.snapshot
        if one is None or snapshot is None:
            return "There is no change under the cursor."
        if action == "go_back":
            return told.back_of(one, snapshot, self.signs)[0]
        endpoint = snapshot.endpoint(one.endpoint)
        if action in ("keep", "logs") and endpoint is None:
            document = document_of(one.endpoint)
            return f"Off: {one.endpoint} does not exist any more." if document is None else f"Off: 4 Config is where config {document} is."
        if action == "keep" and endpoint is not None:
            return endpoint_why_off("keep", endpoint)
        if action == "raw" and one.change is None and one.request is None:
            return "v is off: no change of ours made this, so the journal has nothing of it."
        return ""

    def act_go_back(self) -> None:
        """Make the state of the row live again, by way of a plan; a running change is stopped at once."""
        from mlconsole.tui.deploying import go_back

        one, snapshot = self.chosen(), self.snapshot
        if one is not None and snapshot is not None:
            go_back(self.ui, one.endpoint, to=told.back_of(one, snapshot, self.signs)[1])

    def act_keep(self) -> None:
        """Keep what somebody else made."""
        from mlconsole.tui.deploying import keep

        keep(self.ui, self.ui.subject)

    # Moving, reading.

    def open_subject(self, name: str) -> None:
        """Put the cursor on what was changed outside, else on the newest change of that endpoint; or on that row (`request 12`)."""
        self._wanted = name
        if self._happened:
            self._go_to_subject(self.query_one("#main", LiveTable))

    def _go_to_subject(self, table: LiveTable) -> None:
        wanted, self._wanted = self._wanted, ""
        if wanted in self._happened:
            table.go_to(wanted)
            return
        here = self._happened.get(table.cursor.key) if table.cursor else None
        outside = f"outside {wanted}" in self._happened
        if here is None or here.endpoint != wanted or (outside and here.outside is None):
            newest = next((row.key for row in table.rows if self._happened[row.key].endpoint == wanted), None)
            if newest is not None:
                table.go_to(newest)

    def on_pane_moved(self) -> None:
        """Another row: its steps, its way back, its keys."""
        if self.snapshot is not None:
            self._render_chosen(self.snapshot)
            self.refresh_phone(self.snapshot)
            self.ui.render_keys()

    def on_pane_chosen(self) -> None:
        """Into it, by the mouse."""
        self.act_enter()

    def act_enter(self) -> None:
        """All of it as text; a request with `y` and `n` for who may say a word to it."""
        from mlconsole.tui.approving import open_request

        one = self.chosen()
        if one is not None and one.request is not None:
            open_request(self.ui, one.request.number)
            return
        text, _ = self.copied()
        if text:
            self.ui.push_screen(TextBox(self.ui.subject, [line(each) for each in text.splitlines()]))

    def act_raw(self) -> None:
        """Everything that the journal has of the change, or that is known of a request."""
        from mlconsole.engine.history import change as look
        from mlconsole.tui.deploying import show_raw

        one = self.chosen()
        if one is not None and one.request is not None:
            show_raw(self.ui, one.request, told.request_key(one.request.number))
        if one is None or one.change is None:
            return
        name = one.change.id

        def shown(found: tuple[OperationView, list[StepView]]) -> None:
            view, steps = found
            body = {"change": asdict(view), "steps": [asdict(step) for step in steps]}
            lines = json.dumps(body, indent=1, ensure_ascii=False, default=str).splitlines()
            self.ui.push_screen(TextBox(f"journal of {name}", [line(each) for each in lines]))

        self.ui.ask(f"reading the journal of {name}", lambda session: look(session, name), shown)

    def act_logs(self) -> None:
        """What its endpoint's variant wrote."""
        from mlconsole.tui.deploying import show_logs

        show_logs(self.ui, self.ui.subject, None)

    def act_more(self) -> None:
        """All that can be done with this row."""
        from mlconsole.tui.palette import open_row_actions

        open_row_actions(self.ui)

    def copied(self) -> tuple[str, str]:
        """The report of the change, as plain text."""
        one = self.chosen()
        if one is None:
            return "", ""
        known = self._steps.get(one.change.id) if one.change else None
        steps = known[1] if known and not isinstance(known[1], MLConsoleError) else None
        return told.report(one, steps, self.ui.environment.name, self.signs, self.ui.now()), f"the report of {told.what(one)}"

    def phone_lines(self, snapshot: Snapshot) -> list[Line]:
        """A few rows around the cursor; then the one under it: what came of it, the way back, its steps."""
        table, one = self.query_one("#main", LiveTable), self.chosen()
        lines: list[Line] = []
        if self._unseen:
            lines.append(line((f"{len(self._unseen)} while you were away · space: read", YELLOW)))
        if one is None:
            return [*lines, line("Nothing was changed here yet.")]
        keys = [row.key for row in table.rows]
        place = keys.index(one.key) if one.key in keys else 0
        first = max(0, min(place - 2, len(keys) - 5))
        for key in keys[first : first + 5]:
            each = self._happened[key]
            sign, style = told.result(each, self.signs)
            mark = self.signs.cursor if each is one else "*" if key in self._unseen else " "
            lines.append(line(f"{mark}", (f"{sign.split(' ')[0]} ", style), (told.what(each), BOLD if each is one else "")))
        lines.append(line(""))
        lines += wrapped(f"{told.result(one, self.signs)[0]} · {told.when(one.at, self.ui.now())} · {told.from_where(one)}", 46, BOLD)
        lines += told.way_back_lines(one, snapshot, 46, self.signs)
        return [*lines, line(""), *self._evidence(one, 46)]
