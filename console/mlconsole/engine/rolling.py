"""Rolling out: a version goes to all of the traffic by the stages of a policy, while guards decide; begun, steered, waited for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mlconsole.core.documents import target_named, target_told
from mlconsole.core.freezes import frozen
from mlconsole.core.rollouts import Control, Rollout, RolloutState
from mlconsole.core.text import did_you_mean, duration, neutralise
from mlconsole.engine import approving
from mlconsole.engine.access import Deed
from mlconsole.engine.glass import frozen_told
from mlconsole.engine.rolloutplans import RolloutPlan
from mlconsole.engine.rolloutviews import view_of
from mlconsole.engine.views import RolloutView
from mlconsole.plugin.errors import Conflict, NotAllowed, StillRunning, UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


def begin(session: Session, plan: RolloutPlan, *, stays: bool = False) -> RolloutView:
    """Begin it: from now on the endpoint carries its claim, and a guardian drives it; where there is none, a process of its own does, or
    whoever calls this where they say that they stay (`attend`).

    Raises:
        NotAllowed: read only, frozen, or nobody would watch it.
        ApprovalNeeded: the environment wants a colleague's word first; the request for it is made.
        Conflict: somebody was faster; the endpoint is no longer what it was planned from.
    """
    session.access.require(Deed.GO_FORWARD)
    if plan.refused:
        raise NotAllowed(plan.refused)
    permit = approving.permit_rollout(session, plan)
    begun = session.registry.begin_rollout(replace(plan.rollout, started=session.clock.now()), approval=permit)
    if not stays and not _watched(session):
        _in_a_process_of_its_own(session, begun)
    return view_of(session, begun)


def attend(
    session: Session, rollout_id: str, say: Callable[[str], None] = lambda text: None, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Drive a rollout in this process until it is over.

    Where nobody watches the environment, this process watches it as a guardian does for as long: without predictions, probes and alarms
    that somebody looks at, a rollout would hold for ever. Where somebody does it stands by, and takes over when they are gone. `meanwhile`
    is called again and again.
    """
    from mlconsole.engine.guarding import Guard

    guard, watches = Guard(session.again(), say), False
    try:
        # Where somebody removed the whole workspace there is nothing left to be driven.
        while session.workspace.file.exists() and not find(session, rollout_id).state.terminal and not guard.lost:
            if not watches and not _watched(session):
                with suppress(Conflict):  # somebody else was quicker
                    guard.begin()
                    watches = True
            meanwhile()
            session.clock.sleep(0.2)
    finally:
        guard.end()


def control(session: Session, rollout_id: str, what: str, reason: str = "") -> RolloutView:
    """Ask something of a rollout; its driver obeys within a second.

    Raises:
        UnknownName: there is no such rollout.
        Conflict: it is over, or that can't be asked of it now.
    """
    wanted = Control(what)
    forward = wanted in (Control.NEXT, Control.FORWARD, Control.RESUME, Control.COUNT_SHADOW)
    session.access.require(Deed.GO_FORWARD if forward else Deed.GO_BACK)
    rollout = find(session, rollout_id)
    if forward and not rollout.skipped_gates:  # one that was begun with a broken glass goes on as it was begun
        _require_no_freeze(session, f"{what} of the rollout")
    session.registry.ask_control(rollout.id, wanted, session.acting(), reason)
    if wanted is Control.REVERT:
        from mlconsole.core.operations import Wanted

        for operation in session.registry.unfinished(session.environment.name):
            if operation.endpoint == rollout.endpoint:
                with suppress(Conflict):  # it came to its end just now
                    session.registry.ask(operation.id, Wanted.GO_BACK, session.actor)
    driver = session.registry.rollout_driver(rollout.id)
    if (driver is None or not driver.alive) and not _watched(session):
        _in_a_process_of_its_own(session, rollout)
    return view_of(session, find(session, rollout.id))


def let_shadow_count(session: Session, rollout_id: str) -> RolloutView:
    """What the shadow stage said counts as evidence for errors, latency and identical predictions."""
    return control(session, rollout_id, Control.COUNT_SHADOW)


def find(session: Session, what: str) -> Rollout:
    """A rollout by its id, or the latest one of an endpoint.

    Raises:
        UnknownName: there is none.
    """
    environment, what = session.environment.name, target_named(what)
    rollout = session.registry.rollout(what)
    if rollout is not None and rollout.environment == environment:
        return rollout
    latest = session.registry.rollouts(environment, what, limit=1)
    if latest:
        return latest[0]
    recent = session.registry.rollouts(environment, limit=20)
    known = [*(one.id for one in recent), *(one.endpoint for one in recent)]
    raise UnknownName(
        f'There is no rollout "{what}" in {environment}. {did_you_mean(what, known)}', next="mlconsole rollout list shows them."
    )


def wait(session: Session, what: str, until: str, timeout: float) -> RolloutView:
    """Wait until a rollout is in a state, or over.

    Raises:
        UsageError: there is no such state.
        StillRunning: neither happened in time.
    """
    states = [*(str(state) for state in RolloutState), "over"]
    if until and until not in states:
        raise UsageError(f'A rollout is never "{neutralise(until)}". {did_you_mean(until, states)}')
    began = session.clock.elapsed()
    while True:
        rollout = find(session, what)
        if str(rollout.state) == until or rollout.state.terminal:
            return view_of(session, rollout)
        if session.clock.elapsed() - began >= timeout:
            raise StillRunning(
                f"The rollout of {target_told(rollout.endpoint)} is {rollout.state} ({rollout.present.name}) after {duration(timeout)}.",
                next=f"mlconsole rollout status {rollout.endpoint}",
            )
        session.clock.sleep(0.2)


def _watched(session: Session) -> bool:
    watcher = session.registry.watcher(session.environment.name)
    return watcher is not None and watcher.alive


def _require_no_freeze(session: Session, what: str) -> None:
    window = frozen(session.environment.freezes, session.clock.now())
    if window is not None:
        raise NotAllowed(f"{what}: {frozen_told(window, glass=False)} Nothing was changed.")


def _in_a_process_of_its_own(session: Session, rollout: Rollout) -> None:
    command = [sys.executable, "-m", "mlconsole", "rollout", "drive", rollout.id, "--workspace", str(session.workspace.file)]
    subprocess.Popen(
        [*command, "--env", session.environment.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
