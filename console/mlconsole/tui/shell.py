"""The frame with a view in it: which screen is shown, and how it is drawn. The rooms above add the keys, the questions and the poller."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.containers import Container
from textual.widgets import Input

from mlconsole.core.errors import MLConsoleError
from mlconsole.core.freezes import frozen
from mlconsole.engine.views import Snapshot
from mlconsole.tui import attention, frame
from mlconsole.tui.actions import Action, Group
from mlconsole.tui.frame import Bar
from mlconsole.tui.pane import line, width_of
from mlconsole.tui.signs import BOLD, CYAN, DIM, current
from mlconsole.tui.start import Start
from mlconsole.tui.tutor import Tutor
from mlconsole.tui.view import PHONE, WIDE, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlconsole.engine.session import Session
    from mlconsole.tui.tutor_place import TutorPlace


class Shell(App[None]):
    """Rows 1-4, one view, and the last two rows."""

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
        self.alarm: int | None = None
        """The alarm that somebody went to; None: that of the subject, where there is one."""
        self.language = ""
        self.faults_only = False
        self.actions_by_id: Mapping[str, Action] = {}
        self.trouble: MLConsoleError | None = None
        self._session: Session | None = None
        self.tutor_place: TutorPlace | None = None
        self.tutor = self.new_tutor() if start.tutor else None
        self._views: dict[str, View] = {}
        self._shown, self._before = "endpoints", "endpoints"
        self._said = self.unread = ""
        """What was said last; and the same where it did not fit."""

    def make_view(self, name: str) -> View:
        """A view by its name."""
        raise NotImplementedError

    def narrow(self, view: View) -> None:
        """The filter holds on every screen, a new one too."""
        raise NotImplementedError

    def why_off(self, name: str) -> str:
        """Why an action is off just now; empty when it is not."""
        raise NotImplementedError

    def look(self) -> None:
        """Take a snapshot, unless one is being taken."""
        raise NotImplementedError

    def new_tutor(self) -> Tutor:
        """The tutor from its beginning, or where a person left it who was at its last station."""
        import pwd

        from mlconsole.tui.tutor_place import TutorPlace

        user = pwd.getpwuid(os.getuid()).pw_name
        self.tutor_place = TutorPlace(self.workspace.root / ".mlconsole", user, writes=not self.read_only)
        return self.tutor_place.tutor(self.environment.name, self.now())

    # The frame.

    def compose(self) -> ComposeResult:
        """Rows 1–4, the content, the last two."""
        yield Bar("where")
        yield Bar("world")
        yield Bar("screens")
        yield Bar("attention")
        first = self._views[self._shown] = self.make_view(
            self._shown
        )  # with the frame, not after it: one layout less before anything is seen
        yield Container(first, id="body")
        yield Input(id="filter", compact=True, placeholder="words; @de only that language; enter keeps, esc clears")
        yield Bar("message")
        yield Bar("keys")

    def refresh_css(self, animate: bool = True) -> None:
        """All styles anew, for another theme. Textual asks for it at every start too, when all were just made for this one."""
        if self.theme != self._styled:
            self._styled = self.theme
            super().refresh_css(animate)

    async def open_screen(self, name: str) -> None:
        """Show one of the screens; made when it is first asked for."""
        if name not in self._views:
            made = self._views[name] = self.make_view(name)
            made.set_class(self.size.width < PHONE, "-phone")
            made.display = False  # until the one before is hidden below: no frame squeezes both in
            await self.query_one("#body").mount(made)
            self.narrow(made)
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
        window = frozen(self.environment.freezes, now)
        until = window.end if window is not None else None
        left, right = frame.where(snapshot, self.environment.name, production, self.workspace.name, now, width, until)
        screen.query_one("#where", Bar).show(left, right)
        told, over = frame.world(snapshot, now, self.signs, width)
        screen.query_one("#world", Bar).show(told, (), over)
        shown = self.view.shown(snapshot) if snapshot is not None and self._views else ""
        marks = [f"@{self.language}"] if self.language else []
        marks += ["faults only"] if self.faults_only else []
        screen.query_one("#screens", Bar).show(*frame.screens(self._shown, " · ".join([shown, *marks]), width, self.signs))
        found = attention.attentions(snapshot) if snapshot is not None else []
        text, hint, over = attention.attention(found, self.signs, snapshot, self._shown, width)
        if self.tutor is not None and not over:
            text, hint = line((" " + self.signs.plain(self.tutor.text), f"{BOLD} {CYAN}")), ()
        if self.trouble is not None and not (snapshot and snapshot.blind):
            text, hint, over = line((f" {self.signs.failing} {self.trouble.message}", "red")), (), ""
        screen.query_one("#attention", Bar).show(text, hint if width >= PHONE else (), over)

    def render_keys(self) -> None:
        """The row of keys: what works here, dim where it is off."""
        if not self._views or not self._stands:
            return
        shown = [(self.view.named(self.actions_by_id[name]), bool(self.why_off(name))) for name in self.view.row_actions()]
        shown.append((self.actions_by_id["help"], False))
        order = {Group.LOOK: 0, Group.DRAFT: 0, Group.BACK: 1, Group.FORWARD: 2}
        shown.sort(key=lambda pair: order[pair[0].group])
        self.screen_stack[0].query_one("#keys", Bar).show(frame.keys(shown, self.size.width, self.signs))

    def say(self, text: str) -> None:
        """The message line: what just happened, or why a key is off. What does not fit there is read in whole by the key for help."""
        self._said = text
        if not self._stands:
            return
        told = line(" " + self.signs.plain(text))
        self.unread = text if width_of(told) >= self.size.width else ""
        more = line((f" {self.actions_by_id['help'].key} all of it ", DIM)) if self.unread and self.actions_by_id else ()
        self.screen_stack[0].query_one("#message", Bar).show(told, more)
