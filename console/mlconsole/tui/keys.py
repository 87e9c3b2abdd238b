"""What the keys do everywhere: found by the key, refused with a reason, or done by the view or here."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from textual import events
from textual.widgets import Input

from mlconsole.tui import frame
from mlconsole.tui.actions import ALSO, Group
from mlconsole.tui.attention import attentions
from mlconsole.tui.filtering import Filtering
from mlconsole.tui.frame import Bar
from mlconsole.tui.pane import Pane
from mlconsole.tui.rollout_words import guardian_watches, last_words, running_rollouts
from mlconsole.tui.start import Start
from mlconsole.tui.table import LiveTable


class Keys(Filtering):
    """Does what a person asks by key or by mouse."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.last_words: list[str] = []
        self._attention = -1
        self.drills: tuple[str, ...] = ()
        """What can be broken on purpose here: the names of the demo's drills."""
        self.touched: datetime = self.now()
        """When a person last pressed a key: whether anybody is there."""

    def offer_drills(self) -> None:
        """Let a person choose a drill, where there are any."""
        raise NotImplementedError

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
        action = self.view.named(self.actions_by_id[name])
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
        if action.group is Group.FORWARD or name in ("go_back", "pause", "keep_old"):
            if snapshot is None:
                return f"{action.key} is off: nothing has been looked at yet."
            if snapshot.status.read_only or self.read_only:
                return f"{action.key} is off: read only. Nothing was changed."
            # What mends it may well be what makes it be seen again; and a rollout is held without asking the backend.
            if snapshot.blind and name not in ("fix", "pause", "keep_old"):
                return f"{action.key} is off: {snapshot.blind}. {snapshot.blind_next}"
        # What works everywhere is never off for want of something under the cursor: nobody may be locked into an empty screen.
        return "" if action.everywhere and name != "acknowledge" else self.view.why_off(name)

    def _tables(self) -> LiveTable | None:
        if isinstance(self.focused, LiveTable):
            return self.focused
        return next((table for table in self.view.tables()), None)

    def _move(self, by: int) -> None:
        if isinstance(self.focused, Pane) and self.focused.id == "phone" and abs(by) > 1:
            self.focused.scroll_lines(by)
            return
        if isinstance(self.focused, Pane) and self.focused.id == "phone":
            table = next(iter(self.view.tables()), None)  # its cursor says which of them the lines are about
            if table is not None and table.total:
                table.move(by)
                return
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

    async def act_config(self) -> None:
        """Screen 4."""
        await self.open_screen("config")
        self.say(self.view.greeting())

    async def act_health(self) -> None:
        """Screen 5."""
        self.alarm = None
        await self.open_screen("health")
        self.say(self.view.greeting())

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
        """To what needs you; again: to the next; after the last, and when nothing does, to the demo's drills, where there are any."""
        found = attentions(self.snapshot) if self.snapshot else []
        self._attention += 1
        if self._attention >= len(found) and (not found or self.drills):
            self._attention = -1
            if not found:
                self.say("Nothing needs you.")
            self.offer_drills()
            return
        target = found[self._attention % len(found)]
        self._attention %= len(found)
        self.subject, self.alarm = target.subject or self.subject, target.alarm
        await self.open_screen(target.screen)
        self.say(self.view.greeting() or target.text)

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
        rollouts = running_rollouts(self.snapshot)
        driven = {one.endpoint for one in rollouts}
        running = [one for one in (self.snapshot.status.running if self.snapshot else ()) if one.endpoint not in driven]
        if rollouts:
            self.last_words = [last_words(one, self.now(), watched=guardian_watches(self.snapshot)) for one in rollouts]
        elif running:
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

    def act_faults(self) -> None:
        """Only what is not well, or all again."""
        self.faults_only = not self.faults_only
        self.render_all()

    def on_bar_clicked(self, message: Bar.Clicked) -> None:
        """The mouse on the rows of screens and of keys."""
        if message.bar.id == "attention":
            self.do("attention")
            return
        action = next((one for one in self.actions_by_id.values() if message.text and message.text in (one.key, one.label)), None)
        if action is not None and message.bar.id in ("screens", "keys"):
            self.do(action.id)
