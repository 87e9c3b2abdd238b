"""The console: the frame, the views, the keys, and one poller whose latest snapshot all views render. Each has a room of its own
(`shell`, `asking`, `looking`, `filtering`, `keys`); here they are put together.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlconsole.core.errors import MLConsoleError
from mlconsole.core.text import did_you_mean
from mlconsole.tui.actions import load_actions, our_actions
from mlconsole.tui.attention import open_alarms
from mlconsole.tui.keys import Keys
from mlconsole.tui.view import View

if TYPE_CHECKING:
    from mlconsole.tui.fixing import Runnable

_COLLECT = 2.0
"""Seconds without garbage collection: what is made for the first frames stays, and looking through it would hold them up."""


class ConsoleApp(Keys):
    """See the module. Its public methods are what views use; views never touch the engine otherwise."""

    async def on_mount(self) -> None:
        """Show the last known state, then begin to look."""
        try:
            self.actions_by_id = load_actions()
        except MLConsoleError as error:
            self.actions_by_id = our_actions()
            self.say(str(error))
        await self.open_screen(self._shown)
        self.call_after_refresh(self.look)
        self.call_after_refresh(self.learn_drills)
        self.set_interval(1.0, self._tick)
        self.set_timer(_COLLECT, gc.enable)

    def act_acknowledge(self) -> None:
        """Take the alarm that is shown, else the worst one that nobody has."""
        from mlconsole.tui.fixing import acknowledge

        alarms = open_alarms(self.snapshot)
        here = self.view.alarm()
        alarm = here or next((one for one in alarms if not one.acknowledged_by), next(iter(alarms), None))
        if alarm is None:
            self.say("a is off: there is no open alarm.")
        elif self.read_only or (self.snapshot is not None and self.snapshot.status.read_only):
            self.say("a is off: read only. Nothing was changed.")
        else:
            acknowledge(self, alarm)

    def offer_drills(self) -> None:
        """Let a person choose a drill, where there are any."""
        from mlconsole.tui.fixing import choose_drill, find_drills

        def found(drills: Sequence[Runnable]) -> None:
            self.drills = tuple(one.name for one in drills)
            if drills:
                choose_drill(self, drills)

        find_drills(self, found)

    def learn_drills(self) -> None:
        """Whether there are drills here: the tutor has further stations then."""
        if self.tutor is None:
            return

        def found(drills: Sequence[Runnable]) -> None:
            self.drills = tuple(one.name for one in drills)
            if self.tutor is not None:
                self.tutor.drills = bool(drills)
                self.render_all()

        from mlconsole.tui.fixing import find_drills

        find_drills(self, found)

    def set_tutor(self, on: bool) -> None:
        """The tutor on, from its beginning, or off."""
        super().set_tutor(on)
        self.learn_drills()

    def act_palette(self) -> None:
        """All commands."""
        from mlconsole.tui.palette import open_palette

        open_palette(self)

    act_command = act_palette

    def act_approve(self) -> None:
        """What colleagues ask for."""
        from mlconsole.tui.approving import open_requests

        open_requests(self)

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
        self.subject, self.alarm, self.drills = "", None, ()
        self.snapshot = self.from_disk = snapshots.last(self.workspace.root / ".mlconsole", name)
        for view in list(self._views.values()):
            await view.remove()
        self._views.clear()
        await self.open_screen(self._shown)
        self.say(f"this is {name} now")
        self.look()

    def make_view(self, name: str) -> View:
        """A view by its name; its module is imported when it is first shown."""
        if name == "models":
            from mlconsole.tui.screens.models import ModelsView

            return ModelsView(self)
        if name == "canary":
            from mlconsole.tui.screens.canary import CanaryView

            return CanaryView(self)
        if name == "config":
            from mlconsole.tui.screens.config import ConfigView

            return ConfigView(self)
        if name == "health":
            from mlconsole.tui.screens.health import HealthScreen

            return HealthScreen(self)
        if name == "activity":
            from mlconsole.tui.screens.activity import ActivityView

            return ActivityView(self)
        from mlconsole.tui.screens.endpoints import EndpointsView

        return EndpointsView(self)
