"""The console: the frame, the views, the keys, and one poller whose latest snapshot all views render."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual import events, work
from textual.app import App, ComposeResult
from textual.containers import Container
from textual.widgets import Input
from textual.worker import Worker, WorkerState

from mlconsole.core.errors import MLConsoleError
from mlconsole.core.text import did_you_mean
from mlconsole.engine.views import Snapshot
from mlconsole.tui import frame
from mlconsole.tui.actions import ALSO, Action, Group, load_actions, our_actions
from mlconsole.tui.frame import Bar
from mlconsole.tui.messages import ChangeEnded, Done, NotTaken, Planned, Refused, Taken
from mlconsole.tui.pane import Pane, line
from mlconsole.tui.signs import BOLD, CYAN, current
from mlconsole.tui.start import Start
from mlconsole.tui.table import LiveTable
from mlconsole.tui.tutor import Tutor
from mlconsole.tui.view import PHONE, WIDE, View

if TYPE_CHECKING:
    from textual.timer import Timer

    from mlconsole.core.plans import Plan
    from mlconsole.engine.detached import Detached
    from mlconsole.engine.session import Session
    from mlconsole.engine.watching import Watch

T = TypeVar("T")

_POLL = 1.0
"""Seconds between the end of one look and the begin of the next."""

_COLLECT = 2.0
"""Seconds without garbage collection: what is made for the first frames stays, and looking through it would hold them up."""

_STILL = 10
"""After so many looks that found nothing new it is looked half as often, until something is new again."""


class ConsoleApp(App[None]):
    """See the module. Its public methods are what views use; views never touch the engine otherwise."""

    TITLE = "mlconsole"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[Any]] = []
    CSS = """
    Screen { layout: vertical; background: ansi_default; color: ansi_default; overflow: hidden; }
    #body { height: 1fr; }
    #filter { display: none; height: 1; border: none; padding: 0 1; }
    Screen.-filtering #filter { display: block; }
    Screen.-filtering #message { display: none; }
    Screen.-phone #screens { display: none; }
    """

    def __init__(self, start: Start) -> None:
        super().__init__(ansi_color=True)
        self.theme = self._styled = "ansi-dark"
        self.stylesheet.set_variables(self.get_css_variables())
        self.signs = current()
        self.workspace, self.environment = start.workspace, start.environment
        self.read_only = start.read_only
        self.snapshot: Snapshot | None = start.snapshot
        self.drawing_failed: Exception | None = None
        self.from_disk = start.snapshot
        """The last known state, shown until the first look of our own."""
        self.subject = ""
        self.language = ""
        self._words = ""
        """The filter without its language."""
        self.faults_only = False
        self.last_words: list[str] = []
        self.actions_by_id: Mapping[str, Action] = {}
        self.trouble: MLConsoleError | None = None
        self.tutor = Tutor() if start.tutor else None
        self._session: Session | None = None
        self._watch: Watch | None = None
        self._views: dict[str, View] = {}
        self._shown, self._before = "endpoints", "endpoints"
        self._attention = -1
        self._begun: list[Detached] = []
        self._becoming: dict[str, int] = {}
        """Endpoints with a change that was begun here → the release that it was made on."""
        self._looking = False
        self._round = 0
        """Which environment's looks count: another one begins a new round, whatever still hangs in the old."""
        self._next_look: Timer | None = None
        self._opening = threading.Lock()
        self.touched = self.now()
        """When a person last pressed a key: whether anybody is there."""
        self._looked: datetime | None = None
        self.asleep = timedelta()
        """How long was not looked before the last look: a laptop that slept, a backend that hung."""
        self._ticked: tuple[int, bool] | None = None
        """What of the frame the clock alone has changed last: the minute, and whether the data are old."""
        self._said = ""
        self.last_curl = ""
        """The request of the last invocation, for copying."""

    # The frame.

    def compose(self) -> ComposeResult:
        """Rows 1–4, the content, the last two."""
        yield Bar("where")
        yield Bar("world")
        yield Bar("screens")
        yield Bar("attention")
        first = self._views[self._shown] = _make(self._shown, self)  # with the frame, not after it: one layout less before anything is seen
        yield Container(first, id="body")
        yield Input(id="filter", compact=True, placeholder="words; @de only that language; enter keeps, esc clears")
        yield Bar("message")
        yield Bar("keys")

    async def on_mount(self) -> None:
        """Show the last known state, then begin to look."""
        try:
            self.actions_by_id = load_actions()
        except MLConsoleError as error:
            self.actions_by_id = our_actions()
            self.say(str(error))
        await self.open_screen(self._shown)
        self.call_after_refresh(self.look)
        self.set_interval(1.0, self._tick)
        self.set_timer(_COLLECT, gc.enable)

    def refresh_css(self, animate: bool = True) -> None:
        """All styles anew, for another theme. Textual asks for it at every start too, when all were just made for this one."""
        if self.theme != self._styled:
            self._styled = self.theme
            super().refresh_css(animate)

    async def open_screen(self, name: str) -> None:
        """Show one of the screens; made when it is first asked for."""
        if name not in self._views:
            made = self._views[name] = _make(name, self)
            made.set_class(self.size.width < PHONE, "-phone")
            made.display = False  # until the one before is hidden below: no frame squeezes both in
            await self.query_one("#body").mount(made)
            self._narrow(made)
        if name != self._shown:
            self._before = self._shown
        self._shown = name
        for other, view in self._views.items():
            view.display = other == name
        view = self.view
        view.set_class(self.size.width < PHONE, "-phone")
        view.fit(self.size.width, self.size.height)
        if self.subject:
            view.open_subject(self.subject)
        self.render_all()
        focus = view.first_focus()
        if focus is not None:
            focus.focus()

    @property
    def view(self) -> View:
        """The view that is shown."""
        return self._views[self._shown]

    def on_resize(self, event: events.Resize) -> None:
        """Another size, another layout."""
        self.screen.set_class(event.size.width < PHONE, "-phone")
        for view in self._views.values():
            view.set_class(event.size.width < PHONE, "-phone")
            view.fit(event.size.width, event.size.height)
        if self._views:
            self.call_after_refresh(self.render_all)

    @property
    def is_wide(self) -> bool:
        """Two panes side by side."""
        return self.size.width >= WIDE

    def now(self) -> datetime:
        """The wall clock, UTC."""
        return self._session.clock.now() if self._session is not None else datetime.now(UTC)

    def render_all(self) -> None:
        """Frame and view anew from the present snapshot; what did not change costs nothing."""
        if not self._stands:
            return
        snapshot = self.snapshot
        if snapshot is not None and self._views:
            try:
                self.view.render_snapshot(snapshot)
                self.view.refresh_phone(snapshot)
            except Exception as error:  # noqa: BLE001 - the edge: data that we never thought of cost this screen, not the console
                self.say(f"This screen can't be drawn: {type(error).__name__}: {error}. The others can.")
                self.drawing_failed = error
        self._render_frame()
        self.render_keys()

    @property
    def _stands(self) -> bool:
        """Whether there is a frame to draw in: an answer may come after the screen was taken down."""
        return bool(self.screen_stack) and bool(self.screen_stack[0].query("#keys"))

    def _render_frame(self) -> None:
        screen = self.screen_stack[0]
        now, width, snapshot = self.now(), self.size.width, self.snapshot
        production = self.environment.production
        left, right = frame.where(snapshot, self.environment.name, production, self.workspace.name, now, width)
        screen.query_one("#where", Bar).show(left, right)
        told, over = frame.world(snapshot, now, self.signs, width)
        screen.query_one("#world", Bar).show(told, (), over)
        shown = self.view.shown(snapshot) if snapshot is not None and self._views else ""
        marks = [f"@{self.language}"] if self.language else []
        marks += ["faults only"] if self.faults_only else []
        screen.query_one("#screens", Bar).show(*frame.screens(self._shown, " · ".join([shown, *marks]), width, self.signs))
        found = frame.attentions(snapshot) if snapshot is not None else []
        text, hint, over = frame.attention(found, self.signs, snapshot)
        if self.tutor is not None and not over:
            text, hint = line((" " + self.signs.plain(self.tutor.text), f"{BOLD} {CYAN}")), ()
        if self.trouble is not None and not (snapshot and snapshot.blind):
            text, hint, over = line((f" {self.signs.failing} {self.trouble.message}", "red")), (), ""
        screen.query_one("#attention", Bar).show(text, hint if width >= PHONE else (), over)

    def render_keys(self) -> None:
        """The row of keys: what works here, dim where it is off."""
        if not self._views or not self._stands:
            return
        shown = [(self.actions_by_id[name], bool(self.why_off(name))) for name in self.view.actions]
        shown.append((self.actions_by_id["help"], False))
        order = {Group.LOOK: 0, Group.DRAFT: 0, Group.BACK: 1, Group.FORWARD: 2}
        shown.sort(key=lambda pair: order[pair[0].group])
        self.screen_stack[0].query_one("#keys", Bar).show(frame.keys(shown, self.size.width, self.signs))

    def say(self, text: str) -> None:
        """The message line: what just happened, or why a key is off."""
        self._said = text
        if not self._stands:
            return
        self.screen_stack[0].query_one("#message", Bar).show(line(" " + self.signs.plain(text)))

    # Looking.

    def look(self) -> None:
        """Take a snapshot, unless one is being taken."""
        if not self._looking:
            self._looking = True
            self._take(self._round)

    def _look_in(self, seconds: float) -> None:
        """The next look; one is waited for, however many were asked for meanwhile."""
        if self._next_look is not None:
            self._next_look.stop()
        self._next_look = self.set_timer(seconds, self.look)

    @work(thread=True, exit_on_error=False, group="look")
    def _take(self, of: int) -> None:
        try:
            self.post_message(Taken(self._watched().take(), of))
        except MLConsoleError as error:
            self.post_message(NotTaken(error, of))
        except Exception as error:  # noqa: BLE001 - the edge: an adapter's or our own bug must leave the console alive
            self.post_message(NotTaken(MLConsoleError(f"Looking failed: {type(error).__name__}: {error}."), of))

    def on_taken(self, message: Taken) -> None:
        """A new state of the world."""
        if message.round != self._round:
            return
        self._looking = False
        self.asleep = message.snapshot.status.at - self._looked if self._looked is not None else timedelta()
        self._looked = message.snapshot.status.at
        before, trouble = self.snapshot, self.trouble
        self.snapshot, self.trouble = message.snapshot, None
        self._forget_what_is_live(message.snapshot)
        further = self.tutor is not None and self.tutor.see(message.snapshot)
        if self.tutor is not None and self.tutor.just_done:
            self.say(f"{self.signs.ok} {self.tutor.just_done}")
            self.tutor.just_done = ""
        if further or trouble is not None or before is None or not _nothing_new(before, message.snapshot):
            self.render_all()
        self._look_in(_POLL * 2 if self._watch is not None and self._watch.still >= _STILL else _POLL)

    def on_not_taken(self, message: NotTaken) -> None:
        """It could not be looked at; what was known stays, with its age."""
        if message.round != self._round:
            return
        self._looking = False
        self.trouble = message.error
        self.render_all()
        self._look_in(_POLL * 2)

    def _tick(self) -> None:
        """Once a second: the clock, ages, and changes that may have ended. Nothing is drawn that did not change."""
        now, snapshot = self.now(), self.snapshot
        old = snapshot is not None and (bool(snapshot.blind) or (now - snapshot.status.at).total_seconds() >= frame.STALE)
        if (old or self._ticked != (now.minute, old)) and len(self.screen_stack) == 1 and self._stands:
            self._ticked = now.minute, old
            self._render_frame()
        for change in list(self._begun):
            ended = change.ended()
            if ended is not None:
                self._begun.remove(change)
                if ended.exit_code != 0:
                    self._becoming.pop(change.endpoint, None)  # it never came to be: the draft stays
                self.post_message(ChangeEnded(ended))

    def session(self) -> Session:
        """The opened session; for workers only, since opening reads files."""
        with self._opening:  # a look and a question may come at once
            if self._session is None:
                from mlconsole.engine.session import Session

                self._session = Session(self.workspace, self.environment, read_only=self.read_only)
            return self._session

    def _watched(self) -> Watch:
        if self._watch is None:
            from mlconsole.engine.watching import Watch

            self._watch = Watch(self.session())
        return self._watch

    # Asking the engine.

    def ask(self, what: str, call: Callable[[Session], T], then: Callable[[T], None]) -> None:
        """Ask the engine in a worker; `then` gets the answer in the app's thread. A refusal goes to the message line."""
        self.say(f"{what} …")
        self._ask(call, then)

    def ask_quietly(self, call: Callable[[Session], T], then: Callable[[T], None]) -> None:
        """The same without a word: what a screen shows of what the cursor is on."""
        self._ask(call, then)

    @work(thread=True, exit_on_error=False, group="ask")
    def _ask(self, call: Callable[[Session], Any], then: Callable[[Any], None]) -> None:
        try:
            self.post_message(Done(call(self.session()), then))
        except MLConsoleError as error:
            self.post_message(Refused(error))
        except Exception as error:  # noqa: BLE001 - the edge
            self.post_message(Refused(MLConsoleError(f"That failed: {type(error).__name__}: {error}.")))

    def on_done(self, message: Done) -> None:
        """An answer."""
        if self._said.endswith("…"):
            self.say("")
        message.then(message.result)

    def on_refused(self, message: Refused) -> None:
        """Why not, and what to do."""
        self.say(str(message.error))
        self.bell() if message.error.exit_code == 7 else None

    def plan(self, what: str, call: Callable[[Session], Plan]) -> None:
        """Have a plan made, show it, and carry it out when a person says so."""
        self.ask(what, call, self._planned)

    def _planned(self, plan: Plan) -> None:
        self.post_message(Planned(plan))

    def on_planned(self, message: Planned) -> None:
        """Show the plan box."""
        from mlconsole.core.releases import describe_content
        from mlconsole.tui.plan_box import PlanBox

        plan = message.plan
        if plan.nothing_to_do:
            self.say(
                f"Nothing to do: {plan.endpoint} already is #{plan.made_from_release} ({describe_content(plan.now)}). No call was made."
            )
            return

        def said(typed: str | None) -> None:
            if typed is None:
                self.say(f"Nothing has happened. The plan is kept: mlconsole apply {plan.id}")
            else:
                self.carry_out(plan, typed or None)

        self.push_screen(PlanBox(plan, self.signs), said)

    def carry_out(self, plan: Plan, typed: str | None) -> None:
        """Run a plan in a process of its own: it goes on when this screen closes."""
        from mlconsole.engine.detached import Detached

        self.ask(f"{plan.kind} {plan.endpoint}: starting", lambda session: Detached(session, plan, typed=typed), self._began)

    def go_back_now(self, endpoint: str) -> None:
        """Make a running or interrupted change go back: no plan, it is stored already."""
        from mlconsole.engine.detached import Detached

        self.ask(f"{endpoint}: going back", lambda session: Detached.going_back(session, endpoint), self._began)

    def _forget_what_is_live(self, snapshot: Snapshot) -> None:
        """With the very snapshot that shows the new release, the draft it was made of goes; else it would be told as outdated."""
        for endpoint, release in list(self._becoming.items()):
            there = snapshot.endpoint(endpoint)
            if there is not None and there.operation is None and there.release != release:
                del self._becoming[endpoint]
                self._forget_draft(endpoint)

    def _forget_draft(self, endpoint: str) -> None:
        """A staged draft is live now: it is no draft any more. One whose change was refused or went back stays."""
        for view in self._views.values():
            forget = getattr(view, "forget_draft", None)
            if forget is not None:
                forget(endpoint)

    def _began(self, change: Detached) -> None:
        self._begun.append(change)
        if change.made_from is not None:
            self._becoming[change.endpoint] = change.made_from
        self.say(f"{change.what}: under way. It goes on when you leave; u goes back.")
        self.look()

    def on_change_ended(self, message: ChangeEnded) -> None:
        """A change that was begun here is over."""
        sign = self.signs.ok if message.ended.exit_code == 0 else self.signs.failing
        self.say(f"{sign} {message.ended.sentence} {message.ended.next}".strip())
        self.look()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Work of our own that failed is a bug; it is said, and the console stays."""
        if event.state is WorkerState.ERROR:
            self.say(f"That failed: {type(event.worker.error).__name__}: {event.worker.error}.")

    # Keys.

    async def on_key(self, event: events.Key) -> None:
        """One key, one action: found by the key, refused with a reason, or done by the view or by the app."""
        self.touched = self.now()
        if len(self.screen_stack) > 1 or isinstance(self.focused, Input):
            return
        key = event.character if event.character and event.is_printable else event.key
        if key == " ":
            key = "space"
        name = ALSO.get(key) or next((action.id for action in self.actions_by_id.values() if action.key in (key, event.key)), None)
        if name is None:
            if self.view.other_key(key):
                event.stop()
            return
        event.stop()
        event.prevent_default()
        # Waited for: what is typed next is meant for the screen that this key leads to.
        doing = self.begin(name)
        if doing is not None:
            await doing

    def do(self, name: str) -> None:
        """Do an action by its id, or say why not."""
        doing = self.begin(name)
        if doing is not None:
            self.run_worker(doing, exit_on_error=False)

    def begin(self, name: str) -> Coroutine[Any, Any, None] | None:
        """Begin an action by its id, or say why not; what is still to be waited for, if anything."""
        action = self.actions_by_id[name]
        handler = getattr(self.view, f"act_{name}", None) or getattr(self, f"act_{name}", None)
        if handler is None or (not action.everywhere and name not in self.view.actions):
            self.say(f"{action.key} ({action.label}) does nothing on this screen. ? tells what the keys do here.")
            return None
        why = self.why_off(name)
        if why:
            self.say(why)
            return None
        result: Coroutine[Any, Any, None] | None = handler()
        return result

    def why_off(self, name: str) -> str:
        """Why an action is off just now; empty when it is not."""
        action = self.actions_by_id[name]
        snapshot = self.snapshot
        if action.group is Group.FORWARD or name == "go_back":
            if snapshot is None:
                return f"{action.key} is off: nothing has been looked at yet."
            if snapshot.status.read_only or self.read_only:
                return f"{action.key} is off: read only. Nothing was changed."
            if snapshot.blind:
                return f"{action.key} is off: {snapshot.blind}. {snapshot.blind_next}"
        # What works everywhere is never off for want of something under the cursor: nobody may be locked into an empty screen.
        return "" if action.everywhere else self.view.why_off(name)

    def _tables(self) -> LiveTable | None:
        if isinstance(self.focused, LiveTable):
            return self.focused
        return next((table for table in self.view.tables()), None)

    def _move(self, by: int) -> None:
        pane = self.focused if isinstance(self.focused, Pane) else self._tables()
        if isinstance(pane, LiveTable):
            pane.move(by)
        elif pane is not None:
            pane.scroll_lines(by)

    def act_down(self) -> None:
        """Down."""
        self._move(1)

    def act_up(self) -> None:
        """Up."""
        self._move(-1)

    def act_page_down(self) -> None:
        """A page down."""
        self._move(10)

    def act_page_up(self) -> None:
        """A page up."""
        self._move(-10)

    def act_first(self) -> None:
        """The first row."""
        table = self._tables()
        if table is not None:
            table.move_end(first=True)

    def act_last_row(self) -> None:
        """The last row."""
        table = self._tables()
        if table is not None:
            table.move_end(first=False)

    async def act_models(self) -> None:
        """Screen 1."""
        await self.open_screen("models")

    async def act_endpoints(self) -> None:
        """Screen 2."""
        await self.open_screen("endpoints")

    async def act_canary(self) -> None:
        """Screen 3."""
        await self.open_screen("canary")

    async def act_activity(self) -> None:
        """Screen 6."""
        await self.open_screen("activity")

    async def act_last_screen(self) -> None:
        """The screen before."""
        await self.open_screen(self._before)

    def act_next_pane(self) -> None:
        """The next pane."""
        self.screen.focus_next(Pane)

    def act_previous_pane(self) -> None:
        """The pane before."""
        self.screen.focus_previous(Pane)

    async def act_attention(self) -> None:
        """To what needs you; again: to the next."""
        found = frame.attentions(self.snapshot) if self.snapshot else []
        if not found:
            self.say("Nothing needs you.")
            return
        self._attention = (self._attention + 1) % len(found)
        target = found[self._attention]
        self.subject = target.subject or self.subject
        await self.open_screen(target.screen)
        self.say(target.text)

    def act_out(self) -> None:
        """Out: first of the filter, then of the tutor."""
        if self.tutor is not None and not (self.language or self.faults_only or self.query_one("#filter", Input).value):
            self.set_tutor(False)
            self.say("The tutor is off; : tutor on brings it back.")
            return
        if self.language or self.faults_only or self.query_one("#filter", Input).value:
            self.clear_filter()

    def act_refresh(self) -> None:
        """Look again now."""
        self.say("looking again …")
        self.look()

    def act_quit(self) -> None:
        """Leave; nothing stops that should go on."""
        running = self.snapshot.status.running if self.snapshot else ()
        if running:
            self.last_words = [f"goes on without you: {frame.running_told(running)} (mlconsole wait {running[0].id})"]
        else:  # what was begun a moment ago is in no snapshot yet
            begun = [change.what for change in self._begun if change.ended() is None]
            self.last_words = [f"goes on without you: {what} (mlconsole history list)" for what in begun]
        self.exit()

    def act_copy(self) -> None:
        """What a view has to copy."""
        text, what = self.view.copied()
        if self.last_curl:
            text, what, self.last_curl = self.last_curl, "the request for curl", ""
        if not text:
            self.say("There is nothing to copy here.")
            return
        self.copy_to_clipboard(text)
        self.say(f"copied: {what} (by OSC 52; your terminal has to allow it)")

    def act_filter(self) -> None:
        """Begin to filter."""
        self.screen.add_class("-filtering")
        self.query_one("#filter", Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if event.input.id == "filter":
            self._filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        if event.input.id == "filter":
            self._leave_filter()

    def _filter(self, text: str) -> None:
        words = text.split()
        self.language = next((word[1:] for word in words if word.startswith("@") and len(word) > 1), "")
        self._words = " ".join(word for word in words if not word.startswith("@"))
        for view in self._views.values():
            self._narrow(view)
        self.render_all()

    def _narrow(self, view: View) -> None:
        """The filter holds on every screen, so that none stays narrowed when it is cleared on another."""
        for table in view.tables():
            if table.id and table.id.startswith("main"):
                table.filter(self._words)

    def clear_filter(self) -> None:
        """No filter any more."""
        self.faults_only = False
        self.query_one("#filter", Input).value = ""
        self._filter("")
        self._leave_filter()

    def _leave_filter(self) -> None:
        self.screen.remove_class("-filtering")
        focus = self.view.first_focus()
        if focus is not None:
            focus.focus()

    def on_descendant_blur(self) -> None:
        """A filter that lost the keys is done."""
        if not isinstance(self.focused, Input):
            self.screen_stack[0].remove_class("-filtering")

    async def on_event(self, event: events.Event) -> None:
        """`esc` in the filter clears it; Input keeps that key to itself otherwise."""
        if isinstance(event, events.Key) and event.key == "escape" and isinstance(self.focused, Input) and self.focused.id == "filter":
            self.clear_filter()
            return
        await super().on_event(event)

    def answered(self, endpoint: str) -> None:
        """A person's own request was answered: the tutor waits for that."""
        if self.tutor is not None:
            self.tutor.answered(endpoint)

    def set_tutor(self, on: bool) -> None:
        """The tutor on, from its beginning, or off."""
        self.tutor = Tutor() if on else None
        self.render_all()

    def act_faults(self) -> None:
        """Only what is not well, or all again."""
        self.faults_only = not self.faults_only
        self.render_all()

    # Commands.

    def act_palette(self) -> None:
        """All commands."""
        from mlconsole.tui.palette import open_palette

        open_palette(self)

    act_command = act_palette

    def act_help(self) -> None:
        """What the keys do here."""
        from mlconsole.tui.palette import open_help

        open_help(self)

    async def switch_environment(self, name: str) -> None:
        """Look at another environment."""
        if name not in self.workspace.environments:
            self.say(f'There is no environment "{name}". {did_you_mean(name, self.workspace.environments)}')
            return
        from mlconsole.engine import snapshots

        self.environment = self.workspace.environments[name]
        self._session = self._watch = None
        self._round, self._looking, self.trouble = self._round + 1, False, None
        self.subject = ""
        self.snapshot = self.from_disk = snapshots.last(self.workspace.root / ".mlconsole", name)
        for view in list(self._views.values()):
            await view.remove()
        self._views.clear()
        await self.open_screen(self._shown)
        self.say(f"this is {name} now")
        self.look()

    def on_bar_clicked(self, message: Bar.Clicked) -> None:
        """The mouse on the rows of screens and of keys."""
        if message.bar.id == "attention":
            self.do("attention")
            return
        action = next((one for one in self.actions_by_id.values() if one.key == message.text or one.label == message.text), None)
        if action is not None and message.bar.id in ("screens", "keys"):
            self.do(action.id)


def _nothing_new(before: Snapshot, after: Snapshot) -> bool:
    """Whether only the time is another one: then a watch gives the very same parts."""
    return (
        after.status.endpoints is before.status.endpoints
        and after.changes is before.changes
        and after.releases is before.releases
        and after.versions is before.versions
        and after.blind == before.blind
    )


def _make(name: str, app: ConsoleApp) -> View:
    """A view by its name; its module is imported when it is first shown."""
    if name == "models":
        from mlconsole.tui.screens.models import ModelsView

        return ModelsView(app)
    if name == "canary":
        from mlconsole.tui.screens.canary import CanaryView

        return CanaryView(app)
    if name == "activity":
        from mlconsole.tui.screens.activity import ActivityView

        return ActivityView(app)
    from mlconsole.tui.screens.endpoints import EndpointsView

    return EndpointsView(app)
