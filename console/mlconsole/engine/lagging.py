"""Waiting for applications that read in a config document whom to ask: what some of them may still ask for is not taken away yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlconsole.core.steps import Step
from mlconsole.core.text import duration
from mlconsole.engine.patience import Patience

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


class Readers:
    """Who reads the shares of one endpoint. Where nobody does, for a role splits requests itself, there is nothing to wait for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._told: float | None = None

    def told(self) -> None:
        """They were told something new just now, or may have been by somebody who is gone."""
        self._told = self._session.clock.elapsed()

    def wait(self, step: Step, obey: Callable[[], None]) -> None:
        """Before a step that takes variants away: until everybody has looked since they were told last. `obey` is called all the time."""
        lag = self._session.backend.reading_lag() if step.removes and self._told is not None else 0.0
        if not lag or self._told is None:
            return
        patience = Patience(self._session.clock, lag)
        names = ", ".join(step.removes)
        while self._session.clock.elapsed() - self._told < lag:
            if patience.worth_telling():
                self._session.tell("waiting", f"some applications may still ask for {names}: they look every {duration(lag)}")
            obey()
            patience.rest(obey)
