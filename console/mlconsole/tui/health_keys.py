"""The keys of Health: moving in and out, the time of trends, and what can be done about what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.widget import Widget

from mlconsole.core.text import duration
from mlconsole.engine.views import AlarmView, EndpointHealthView, Snapshot
from mlconsole.engine.views import HealthView as Health
from mlconsole.tui import health_words as words
from mlconsole.tui.pane import Pane
from mlconsole.tui.screens.endpoints import endpoint_why_off
from mlconsole.tui.table import LiveTable
from mlconsole.tui.view import View

_TIMES = (10.0, 20.0, 30.0, 60.0, 120.0, 240.0, 480.0, 1440.0)
"""Minutes that trends can be of."""


class HealthKeys(View):
    """A view of one subject: an endpoint, and the open alarm that it is part of."""

    actions: ClassVar[tuple[str, ...]] = (
        "enter",
        "tail",
        "copy",
        "shorter",
        "longer",
        "more",
        "logs",
        "invoke",
        "faults",
        "next_endpoint",
        "acknowledge",
        "go_back",
        "fix",
    )

    def __init__(self, ui: Any) -> None:
        super().__init__(ui)
        self._inside = False
        """Whether it is all about one endpoint: `enter` goes in, `esc` out."""

    def render_subject(self, snapshot: Snapshot) -> None:
        """Everything but the table of endpoints."""
        raise NotImplementedError

    # What it is about.

    @property
    def health(self) -> Health | None:
        """The present health."""
        return self.snapshot.health if self.snapshot is not None else None

    def alarm(self) -> AlarmView | None:
        """The open alarm of the subject."""
        health = self.health
        if health is None:
            return None
        pinned = next((one for one in health.open_alarms if one.number == self.ui.alarm), None)
        return pinned or words.alarm_of(health, self.ui.subject)

    def greeting(self) -> str:
        """Whom the alarm was told, and whether that goes on."""
        alarm = self.alarm()
        if alarm is None or not alarm.told:
            return ""
        return ", ".join(alarm.told) + ("." if alarm.acknowledged_by else f". {self.ui.actions_by_id['acknowledge'].key} stops the paging.")

    def chosen(self) -> EndpointHealthView | None:
        """The health of the endpoint under the cursor."""
        return self.health.endpoint(self.ui.subject) if self.health is not None else None

    # Moving.

    def tables(self) -> Iterable[LiveTable]:
        """Those that are shown first."""
        return sorted(self.query(LiveTable), key=lambda table: (not (table.display and table.region.area), table.id != "main"))

    def first_focus(self) -> Widget | None:
        """The endpoints where they are shown; else what the subject has."""
        if self.has_class("-phone"):
            return self.query_one("#phone")
        shown = [widget for name in ("main", "slices", "subject") if (widget := self.query_one(f"#{name}")).display]
        return shown[0] if shown else None

    def on_pane_moved(self, event: Pane.Moved) -> None:
        """Another endpoint is the subject."""
        if event.pane.id == "main" and self.snapshot is not None and event.key != self.ui.subject:
            self.ui.subject, self.ui.alarm = event.key, None
            self._again()

    def _again(self) -> None:
        if self.snapshot is not None:
            self.render_subject(self.snapshot)
            self.refresh_phone(self.snapshot)
            self.ui.render_all()

    def on_pane_chosen(self, event: Pane.Chosen) -> None:
        """Into it, by the mouse."""
        if event.pane.id == "main":
            self.act_enter()

    def act_enter(self) -> None:
        """Into the endpoint under the cursor: its slices, scores and pairs."""
        self._inside = True
        self._again()
        focus = self.first_focus()
        if focus is not None:
            focus.focus()

    def act_out(self) -> None:
        """Out of the endpoint; then of the filter."""
        if not self._inside:
            self.ui.act_out()
            return
        self._inside = False
        self._again()
        focus = self.first_focus()
        if focus is not None:
            focus.focus()

    def act_next_endpoint(self) -> None:
        """The next endpoint, here."""
        table = self.query_one("#main", LiveTable)
        if table.place + 1 >= len(table.rows):
            table.move_end(first=True)
        else:
            table.move(1)

    def act_shorter(self) -> None:
        """Trends of a shorter time."""
        self._watch_minutes([each for each in _TIMES if each < self.ui.health_minutes][-1:])

    def act_longer(self) -> None:
        """Trends of a longer time."""
        self._watch_minutes([each for each in _TIMES if each > self.ui.health_minutes][:1])

    def _watch_minutes(self, found: list[float]) -> None:
        if found:
            self.ui.watch_minutes(found[0])
            self.ui.say(f"trends of {duration(60 * found[0])}")
        else:
            self.ui.say(f"Trends are of {duration(60 * self.ui.health_minutes)}; there is no other time in that direction.")

    # What can be done.

    def why_off(self, action: str) -> str:
        """What the subject does not allow just now."""
        if action in ("faults", "help", "more", "copy") or action not in self.actions:
            return ""
        if self.health is None:
            return "Off: health is not judged here; this screen tells what that takes."
        alarm, endpoint = self.alarm(), self.subject()
        if action == "acknowledge":
            return "" if alarm is not None else "a is off: there is no open alarm."
        if action == "fix":
            found = words.fix_of(alarm, self.health, self.ui.subject)
            return "" if found else "F is off: no action is known that mends this. `repair:` at a dependency in mlconsole.yaml names one."
        if action in ("go_back", "tail", "logs", "invoke"):
            if endpoint is None:
                return "There is no endpoint under the cursor."
            return endpoint_why_off(action, endpoint)
        return ""

    def act_fix(self) -> None:
        """Show the action that would mend it."""
        from mlconsole.tui.fixing import run_fix

        health, alarm = self.health, self.alarm()
        if health is None:
            return
        name = words.fix_of(alarm, health, self.ui.subject)
        probe = next((one.name for one in health.probes if one.repair == name and one.ok is False), "")
        run_fix(self.ui, name, alarm=alarm, probe=probe, subject=probe or self.ui.subject)

    def act_go_back(self) -> None:
        """The plan that goes back."""
        from mlconsole.tui.deploying import go_back

        go_back(self.ui, self.ui.subject)

    def act_tail(self) -> None:
        """The last predictions."""
        from mlconsole.tui.fixing import tail

        tail(self.ui, self.ui.subject)

    def act_logs(self) -> None:
        """What its variant wrote."""
        from mlconsole.tui.deploying import show_logs

        show_logs(self.ui, self.ui.subject, None)

    def act_invoke(self) -> None:
        """Ask it."""
        from mlconsole.tui.deploying import invoke

        invoke(self.ui, self.ui.subject)

    def act_more(self) -> None:
        """All that can be done here."""
        from mlconsole.tui.palette import open_row_actions

        open_row_actions(self.ui)

    def copied(self) -> tuple[str, str]:
        """The report; while it recovers the command that lists the wrong predictions, unless the report has the keys."""
        alarm, one, environment = self.alarm(), self.chosen(), self.ui.environment.name
        if alarm is not None:
            if alarm.state == "recovering" and alarm.triage.effect and not self.query_one("#happened").has_focus:
                return words.affected_command(alarm, environment), "the command that lists the wrong predictions"
            return words.report(alarm, environment), f"the report of alarm {alarm.number}"
        if one is not None:
            return words.endpoint_report(one, environment), f"how {one.endpoint} does"
        return "", ""
