"""Overseeing: while a stage's own change is carried out, which may take minutes, the guards go on (trap 22) and a person's word counts.

What is seen while a change runs belongs to the stage before it: until the change is read back that is what stands, with its split and from
its begin on. So only a variant that has traffic already is judged, from the second stage on, and nothing of it counts in the stage to come.
It promotes nothing: a fail takes the change back, and then the rollout. While a slice goes back alone nothing is judged: that goes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mlconsole.core.deciding import decide
from mlconsole.core.operations import Cause
from mlconsole.core.policies import OnFail
from mlconsole.core.rollouts import Control, Decision, Rollout, RolloutState
from mlconsole.core.text import neutralise
from mlconsole.engine.holding import GoBack, Stop
from mlconsole.plugin.errors import MLConsoleError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.engine.weighing import Weighed, Weighing

_LOOK = 1.0
"""Seconds between two looks."""

_WAITS = 0.5
"""Seconds that a change waits for what the guards say: golden queries of a backend that hangs take longer, and hold nothing up."""


class Beside:
    """Asks the guards of one rollout in a thread of its own, one look at a time, by a weighing that nobody else uses."""

    def __init__(self, made: Callable[[], Weighing]) -> None:
        self._made = made
        self._weighing: Weighing | None = None
        self._thread: threading.Thread | None = None
        self._found: list[tuple[Rollout, Weighed]] = []

    def look(self, rollout: Rollout) -> Weighed | None:
        """What they say of its present stage. None: they are not through yet, or could not be asked; a later look gives it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, args=(rollout,), daemon=True, name=f"guards of {rollout.id}")
            self._thread.start()
        self._thread.join(_WAITS)
        if self._thread.is_alive():
            return None
        self._thread = None
        found = self._found.pop() if self._found else None
        return found[1] if found is not None and found[0] == rollout else None

    def _look(self, rollout: Rollout) -> None:
        with suppress(Exception):  # what can't be asked, for whatever reason, takes nothing back: the next stage measures for itself
            self._weighing = self._weighing or self._made()
            self._found.append((rollout, self._weighing.look(rollout)))


class Overseer(Stop):
    """Looks at a rollout while the change to its present stage runs.

    Args:
        rollout: as it is, on its way to its present stage.
        stood: as it was in the stage before, which is judged by what was seen since that began; None: there is none, or nobody knows.
        guards: asks them.
    """

    def __init__(self, session: Session, rollout: Rollout, stood: Rollout | None, guards: Beside) -> None:
        super().__init__()
        self._session, self._rollout, self._guards = session, rollout, guards
        self._stood = None if stood is None or _goes_back(stood, rollout) else stood
        self._looked: float | None = None
        self.decision: Decision | None = None
        """Why the rollout, or one slice of it, goes back; None: nothing takes it back."""

    def look(self) -> None:
        """Ask the guards, at most each second.

        Raises:
            GoBack: one of them failed, the deadline is over, or a person wants the rollout back.
        """
        if self.decision is None and self._due():
            self._obey()
            self._judge()
        if self.decision is not None:
            raise GoBack(Cause.GUARD, self.decision.why)

    def end(self) -> Decision | None:
        """What the guards say at the end of the change: that it came to stand is no reason not to heed them."""
        if self.decision is None and self._stood is not None:
            self._judge()
        return self.decision

    def _due(self) -> bool:
        now = self._session.clock.elapsed()
        if self._looked is not None and now - self._looked < _LOOK:
            return False
        self._looked = now
        return True

    def _obey(self) -> None:
        """Who asked just before this change began could not ask the change itself."""
        with suppress(MLConsoleError):  # the registry is locked just now: it is read again in a second
            asked = next((one for one in self._session.registry.controls(self._rollout.id) if one.control is Control.REVERT), None)
            if asked is not None:
                raise GoBack(Cause.ASKED, f"{asked.actor} asked to go back")

    def _judge(self) -> None:
        weighed = self._guards.look(self._stood) if self._stood is not None else None
        results, now = weighed.results if weighed is not None else (), self._session.clock.now()
        decision = decide(self._rollout, results, now, settled=False)
        if weighed is not None:
            keep_seen(self._session, self._rollout, weighed, decision)
        if decision.to is not RolloutState.GOING_BACK:
            return
        if self._stood is not None and self._rollout.policy.on_fail is OnFail.SLICE:
            alone = decide(replace(self._stood, state=RolloutState.WAITING), results, now, settled=True)
            decision = alone if alone.slice else decision
        self.decision = replace(decision, why=neutralise(decision.why))


def _goes_back(stood: Rollout, rollout: Rollout) -> bool:
    """Whether the new variant has less of some requests in the stage to come: a slice goes back."""
    before, after = stood.present.content.traffic, rollout.present.content.traffic
    if before is None or after is None:
        return False
    slices = {(entry.key, entry.value) for traffic in (before, after) for entry in traffic.by_slice}
    return any(after.slice_split(*one).get(rollout.variant, 0) < before.slice_split(*one).get(rollout.variant, 0) for one in slices)


def keep_seen(session: Session, rollout: Rollout, weighed: Weighed, decision: Decision) -> None:
    """Leave what the guards said where faces read it: a small file beside the snapshots, moved in place; a full disk costs it."""
    from mlconsole.engine.rolloutviews import write_seen

    with suppress(OSError):
        write_seen(session, rollout, weighed, decision)
