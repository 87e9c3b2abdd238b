"""What every screen is made of: a view that renders snapshots into panes, says which keys it has, and why one is off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.containers import Vertical
from textual.widget import Widget

from mlconsole.engine.views import AlarmView, EndpointView, Snapshot
from mlconsole.tui.actions import Action
from mlconsole.tui.pane import Line, Pane
from mlconsole.tui.signs import Signs
from mlconsole.tui.table import LiveTable

if TYPE_CHECKING:
    from mlconsole.tui.app import ConsoleApp

T = TypeVar("T")

PHONE, WIDE = 60, 100
"""Columns: below the first everything is one column of lines, from the second there are two panes."""


class View(Vertical):
    """One screen's content. It holds no rules: it renders the snapshot, and hands what a person wants to the engine through the app."""

    screen_name: ClassVar[str] = ""
    actions: ClassVar[tuple[str, ...]] = ()
    """The ids of the actions that work here, in the order in which the row of keys shows them. Each has a method `act_<id>`."""
    help_text: ClassVar[str] = ""
    """What this screen is for, for `?`."""
    words: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Actions that do here what their own words do not say: label, help."""

    DEFAULT_CSS = """
    View { height: 1fr; }
    View > #phone { display: none; }
    View.-phone > * { display: none; }
    View.-phone > #phone { display: block; }
    """

    def __init__(self, ui: ConsoleApp) -> None:
        super().__init__(id=f"view-{self.screen_name}")
        self.ui = ui

    def on_resize(self) -> None:
        """Its panes have their widths only now: what is wrapped to them is wrapped anew (on the first frame they had none)."""
        self.call_after_refresh(self._rendered_anew)

    def _rendered_anew(self) -> None:
        if self.is_running and self.display and self.children:  # not while it is taken away
            self.ui.render_all()

    # What a view tells.

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """Show this state of the world."""
        raise NotImplementedError

    def phone_lines(self, snapshot: Snapshot) -> list[Line]:
        """The same in one column of at most 46 characters."""
        raise NotImplementedError

    def why_off(self, action: str) -> str:
        """Why a key of this screen does nothing just now, in one sentence; empty when it works."""
        return ""

    def named(self, action: Action) -> Action:
        """An action in the words of this screen."""
        label, told = self.words.get(action.id, (action.label, action.help))
        return action if label == action.label and told == action.help else replace(action, label=label, help=told)

    def shown_actions(self) -> tuple[str, ...]:
        """Those of its actions that stand in the row of keys and in `x` just now; the others say why they are off when they are pressed."""
        return self.actions

    def row_actions(self) -> tuple[str, ...]:
        """Those of them that the row of keys shows; the others are found by `x`."""
        return self.shown_actions()

    def shown(self, snapshot: Snapshot) -> str:
        """What is shown, for the right of row 3."""
        return ""

    def alarm(self) -> AlarmView | None:
        """The open alarm that is shown here."""
        return None

    def greeting(self) -> str:
        """What the message line says when a person comes here."""
        return ""

    def first_focus(self) -> Widget | None:
        """What has the keys when the screen is entered."""
        if self.has_class("-phone"):
            return next(iter(self.query("#phone")), None)
        return next(iter(self.query(LiveTable)), None) or next(iter(self.query(Pane)), None)

    def open_subject(self, name: str) -> None:
        """Put the subject (an endpoint's name) under the cursor."""

    def copied(self) -> tuple[str, str]:
        """What `y` copies here, and what that is; empty texts: nothing."""
        return "", ""

    def other_key(self, key: str) -> bool:
        """A key that is no action's (a digit of a share); whether the view used it."""
        return False

    def fit(self, width: int, height: int) -> None:
        """The size is another one: panes that depend on it are arranged anew."""

    def on_mount(self) -> None:
        """Laid out before it is first drawn."""
        self.fit(self.ui.size.width, self.ui.size.height)

    # What a view has at hand.

    @property
    def signs(self) -> Signs:
        """The characters of this terminal."""
        return self.ui.signs

    @property
    def snapshot(self) -> Snapshot | None:
        """The present state of the world."""
        return self.ui.snapshot

    def subject(self) -> EndpointView | None:
        """The endpoint that everything here is about."""
        return self.ui.snapshot.endpoint(self.ui.subject) if self.ui.snapshot and self.ui.subject else None

    def phone_pane(self) -> Pane:
        """The one pane of the phone's layout."""
        return Pane("", id="phone", edges="", joints=("", ""), signs=self.signs)

    def refresh_phone(self, snapshot: Snapshot) -> None:
        """Render the phone's lines, when that layout is shown."""
        if self.has_class("-phone"):
            self.query_one("#phone", Pane).show(self.phone_lines(snapshot))

    def ask(self, what: str, call: Callable[[Any], T], then: Callable[[T], None]) -> None:
        """Ask the engine something in a worker; `then` gets the answer in the app's thread."""
        self.ui.ask(what, call, then)

    def tables(self) -> Iterable[LiveTable]:
        """The tables of this view."""
        return self.query(LiveTable)
