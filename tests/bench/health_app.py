"""The console on its Health screen with forty endpoints, of which five figures change each second; `hidden`: another screen is shown."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlconsole.engine.views import EndpointHealthView, EndpointView, FiguresView, HealthView, Snapshot, State, StatusView, WatcherView
from mlconsole.tui.app import ConsoleApp
from mlconsole.tui.start import Start
from mlconsole.workspace import environment, load

ENDPOINTS = 40
FIGURES = 5


class Made:
    """In place of `engine.watching.Watch`: an environment whose figures are drawn, and change at each look."""

    still = 0

    def __init__(self) -> None:
        self.minutes, self.drawn = 60.0, frozenset[str]()
        self._dice = random.Random(20)
        self._since = datetime.now(UTC)

    def take(self) -> Snapshot:
        """The next state of the world."""
        now = datetime.now(UTC)
        health = tuple(self._health(at) for at in range(ENDPOINTS))
        endpoints = tuple(
            EndpointView(f"endpoint-{at:02}", "staging", State.OK, "", "", content="v1 100 %", release=1) for at in range(ENDPOINTS)
        )
        watcher = WatcherView(True, "guardian anna@bastion-1 (pid 1)", self._since, self._since)
        status = StatusView("bench", "staging", False, False, now, endpoints, watcher=watcher)
        view = HealthView(now, now, health, watcher=watcher)
        return Snapshot(status, (), (), (), ("staging",), "anna@bastion-1", "bench", seen=now, health=view)

    def _health(self, at: int) -> EndpointHealthView:
        drawn = self._dice.uniform
        figures = FiguresView(600, 60.0, drawn(1, 99), drawn(0.001, 0.09), drawn(10, 99), drawn(0.01, 0.09), drawn(0.1, 0.9))
        usual = replace(figures, rate=10.0)
        return EndpointHealthView(f"endpoint-{at:02}", "pass", "ok", figures, usual)


class HealthApp(ConsoleApp):
    """The console as it is, over what is made up here."""

    def _watched(self) -> Any:
        if self._watch is None:
            # Of a Watch the console asks for `take`, `minutes`, `drawn` and `still` only, and all of these are there.
            self._watch = Made()  # type: ignore[assignment]
        return self._watch


if __name__ == "__main__":
    workspace = load(Path(sys.argv[1]))
    HealthApp(Start(workspace, environment(workspace, None, {}), None)).run(mouse=False)
