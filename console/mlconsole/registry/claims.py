"""An endpoint's claim: what its unfinished rollout lets others do, and what every write of a rollout is checked by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session, col, select, update

from mlconsole.core.documents import target_told
from mlconsole.core.models import Actor
from mlconsole.core.plans import Plan
from mlconsole.core.releases import ReleaseKind
from mlconsole.core.rollouts import LEGAL_EXITS, Rollout, RolloutState
from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import Conflict, UnknownName
from mlconsole.plugin.roles import Notice
from mlconsole.registry.bodies import dump, from_moment, load, moment
from mlconsole.registry.outbox import put
from mlconsole.registry.parts import clock_time
from mlconsole.registry.tables import RolloutControlTable, RolloutDriverTable, RolloutEventTable, RolloutTable

_FORWARD = (RolloutState.SHIFTING, RolloutState.BAKING)
"""In which states a rollout's own changes begin (after the bake: the old variant is taken away); going back begins in every state."""

Event = tuple[str, str, str | None]
"""What happened in a rollout: kind, text, key."""


@dataclass(frozen=True)
class Telling:
    """How people hear of what becomes of a rollout by somebody else's change, whether anybody drives it or not (trap 26)."""

    notice: Callable[[Rollout, Event], Notice | None]
    """What they are told of it as it is now; None: nothing."""
    channels: Callable[[Notice], Sequence[str]]


def claim_row(session: Session, environment: str, endpoint: str) -> RolloutTable | None:
    """The endpoint's unfinished rollout."""
    statement = select(RolloutTable).where(
        RolloutTable.environment == environment, RolloutTable.endpoint == endpoint, col(RolloutTable.ended).is_(None)
    )
    return session.exec(statement).first()


def rollout_row(session: Session, rollout_id: str) -> RolloutTable:
    """One rollout's row.

    Raises:
        UnknownName: there is none.
    """
    row = session.exec(select(RolloutTable).where(RolloutTable.id == rollout_id)).first()
    if row is None:
        raise UnknownName(f'There is no rollout "{neutralise(rollout_id)}".', next="See which there are: mlconsole rollout list.")
    return row


def held_driver(session: Session, row: RolloutTable, token: int, now: datetime) -> RolloutDriverTable:
    """The row of a rollout's driver that is still the newest and has not given up.

    Raises:
        Conflict: it is not; it may write no more.
    """
    driver = session.get(RolloutDriverTable, row.id)
    if driver is not None and driver.held and driver.token == token:
        return driver
    if row.ended is not None:
        raise over(row, now)
    if driver is None or driver.token == token:
        lost = f"This driver of {target_told(row.endpoint)}'s rollout gave it up already"
    else:
        since = clock_time(from_moment(driver.since), now)
        who = neutralise(str(load(Actor, driver.holder)))
        lost = f"The rollout of {target_told(row.endpoint)} is driven by {who} (pid {driver.pid}) since {since}"
    raise Conflict(f"{lost}; this one stops, and what it still wanted was not done.", next=f"mlconsole rollout status {row.endpoint}")


def over(row: RolloutTable, now: datetime) -> Conflict:
    """Something was asked of a rollout that is at its end."""
    why = neutralise(load(Rollout, row.body).why)
    when = "" if row.ended is None else f" since {clock_time(from_moment(row.ended), now)}"
    return Conflict(
        f"The rollout of {target_told(row.endpoint)} is over{when}: {row.state}{f' ({why})' if why else ''}. Nothing was changed.",
        next=f"mlconsole rollout status {row.endpoint}",
    )


def move(session: Session, row: RolloutTable, after: Rollout, now: datetime) -> Rollout:
    """Write a rollout down as it is now, when that may follow what was written before; at its end its claim and its driver go too.

    Raises:
        Conflict: it may not follow; terminal is terminal.
    """
    before = load(Rollout, row.body)
    if before.state.terminal or row.ended is not None:
        raise over(row, now)
    if after.state is not before.state and after.state not in LEGAL_EXITS[before.state]:
        raise Conflict(
            f"The rollout of {target_told(row.endpoint)} is {before.state}; {after.state} can't follow that. Nothing was changed.",
            next=f"mlconsole rollout status {row.endpoint}",
        )
    after = replace(after, ended=(after.ended or now) if after.state.terminal else None)
    row.state, row.body = after.state.value, dump(after)
    row.ended = None if after.ended is None else moment(after.ended)
    session.add(row)
    if after.state.terminal:
        driver = session.get(RolloutDriverTable, row.id)
        if driver is not None:
            driver.held = False
            session.add(driver)
        asked = update(RolloutControlTable).where(col(RolloutControlTable.rollout) == row.id, col(RolloutControlTable.done_at).is_(None))
        session.exec(asked.values(done_at=moment(now)))
    session.flush()
    return after


def note_rollout(session: Session, rollout_id: str, at: datetime, kind: str, text: str, key: str | None = None) -> bool:
    """Note what happened in a rollout. False: that `key` was noted before, and nothing was written."""
    if key is not None:
        same = select(RolloutEventTable.seq).where(RolloutEventTable.rollout == rollout_id, RolloutEventTable.key == key)
        if session.exec(same).first() is not None:
            return False
    session.add(RolloutEventTable(rollout=rollout_id, at=moment(at), kind=kind, key=key, text=neutralise(text)[:2000]))
    session.flush()
    return True


def told(session: Session, rollout: Rollout, event: Event, notice: Notice | None, channels: Sequence[str], now: datetime) -> bool:
    """Note what happened in a rollout, and put the notice of it into the outbox, once for each `key` in the life of the rollout. False: it
    was noted before, and nothing was written.
    """
    kind, text, key = event
    if not note_rollout(session, rollout.id, now, kind, text, key):
        return False
    if notice is not None:
        for channel in channels:
            put(session, rollout.environment, f"rollout:{rollout.id}:{key or notice.key}", channel, notice, now)
    return True


def admit(
    session: Session, plan: Plan, actor: Actor, now: datetime, *, rollout: str, driver: int, supersedes: str, tell: Telling | None = None
) -> None:
    """Whether the endpoint's claim lets this change begin, and what becomes of the rollout by it.

    Its own stages begin with the newest driver's token, in a state in which that is its turn. A revert always may: to the rollout's own
    revert target it makes the rollout go back (whoever drives it sees that to its end), to another release it takes its place. While it is
    paused shares may be moved. What `supersedes` it ends it. Where its state is another one by that, people are told as `tell` says.

    Raises:
        Conflict: it does not; who has it.
    """
    row = claim_row(session, plan.environment, plan.endpoint)
    if rollout:
        _admit_own(session, row, plan, now, rollout, driver)
        return
    if supersedes and (row is None or row.id != supersedes):
        raise _not_that_one(row, plan.endpoint, supersedes, now)
    if row is None:
        return
    claim = load(Rollout, row.body)
    who = f"{actor}: {plan.kind} (change {plan.id})"
    back = plan.kind is ReleaseKind.REVERT
    if back and not supersedes and (_goes_back(plan, claim) or claim.state is RolloutState.GOING_BACK):
        event = (str(RolloutState.GOING_BACK), f"asked by {who}", f"back:{plan.id}")
        if claim.state is RolloutState.GOING_BACK:
            note_rollout(session, row.id, now, *event)
        else:
            moved = move(session, row, replace(claim, state=RolloutState.GOING_BACK, why=f"asked by {who}"), now)
            _told_of(session, moved, event, tell, now)
    elif back or supersedes:
        supersede(session, row, who, now, plan.id, tell)
    elif plan.kind is ReleaseKind.TRAFFIC and claim.state is RolloutState.PAUSED:
        # Somebody moves the slider (trap 21): the rollout holds, and when it goes on it makes its own stage anew.
        note_rollout(session, row.id, now, "slider", f"{who}; it goes on with its own stage when it is resumed", f"slider:{plan.id}")
    else:
        raise claimed(claim, now)


def supersede(session: Session, row: RolloutTable, who: str, now: datetime, by: str, tell: Telling | None) -> None:
    """Another change takes the rollout's place; people are told of that here, for whoever drives it may be gone.

    Raises:
        Conflict: it is going back; that has to come to its end first.
    """
    why = f"superseded by {who}"
    moved = move(session, row, replace(load(Rollout, row.body), state=RolloutState.SUPERSEDED, why=why), now)
    _told_of(session, moved, (str(RolloutState.SUPERSEDED), why, f"superseded:{by}"), tell, now)


def admit_kept(
    session: Session, environment: str, endpoint: str, who: str, now: datetime, supersedes: str, tell: Telling | None = None
) -> None:
    """Whether the endpoint's claim lets what is there be kept as a release of its own: only where that supersedes the rollout.

    Raises:
        Conflict: it does not; who has it.
    """
    row = claim_row(session, environment, endpoint)
    if supersedes and (row is None or row.id != supersedes):
        raise _not_that_one(row, endpoint, supersedes, now)
    if row is not None and not supersedes:
        raise claimed(load(Rollout, row.body), now)
    if row is not None:
        supersede(session, row, who, now, "kept", tell)


def claimed(claim: Rollout, now: datetime) -> Conflict:
    """Another change was asked of an endpoint that is in a rollout."""
    return Conflict(
        f"{target_told(claim.endpoint)} is in a rollout ({where_it_is(claim)}) by {neutralise(claim.actor.user)} since "
        f"{clock_time(claim.started, now)}. Nothing was changed.",
        next=f"Pause it, go back, or supersede it: mlconsole rollout pause {claim.endpoint}, mlconsole revert {claim.endpoint}, or add "
        f"--supersede {claim.id}.",
    )


def where_it_is(rollout: Rollout) -> str:
    """`v6 → v7, 10 %, stage 2 of 4`; its state, where that says more."""
    former = f"{', '.join(rollout.stable)} → " if rollout.stable else ""
    told = [f"{former}{rollout.variant}"]
    if rollout.stages:
        told += [rollout.present.name, f"stage {min(rollout.stage, len(rollout.stages) - 1) + 1} of {len(rollout.stages)}"]
    if rollout.state in (RolloutState.PAUSED, RolloutState.GOING_BACK):
        told.append(str(rollout.state))
    return neutralise(", ".join(told))


def _told_of(session: Session, rollout: Rollout, event: Event, tell: Telling | None, now: datetime) -> None:
    notice = None if tell is None else tell.notice(rollout, event)
    told(session, rollout, event, notice, () if tell is None or notice is None else tell.channels(notice), now)


def _admit_own(session: Session, row: RolloutTable | None, plan: Plan, now: datetime, rollout: str, driver: int) -> None:
    if row is None or row.id != rollout:
        own = rollout_row(session, rollout)
        if own.ended is not None:
            raise over(own, now)
        raise Conflict(
            f"Rollout {rollout} is of {target_told(own.endpoint)} in {own.environment}; this change is of {target_told(plan.endpoint)} "
            f"in {plan.environment}. Nothing was changed.",
            next="Report this.",
        )
    held_driver(session, row, driver, now)
    claim = load(Rollout, row.body)
    if claim.state not in _FORWARD and plan.kind is not ReleaseKind.REVERT and not _goes_back(plan, claim):
        raise Conflict(
            f"The rollout of {target_told(row.endpoint)} is {claim.state} by now, so its next stage does not begin. Nothing was changed.",
            next=f"mlconsole rollout status {row.endpoint}",
        )


def _goes_back(plan: Plan, claim: Rollout) -> bool:
    return plan.then == claim.revert_to or (plan.equals is not None and plan.equals == claim.revert_to_release)


def _not_that_one(row: RolloutTable | None, endpoint: str, supersedes: str, now: datetime) -> Conflict:
    if row is not None:
        return claimed(load(Rollout, row.body), now)
    return Conflict(
        f"{endpoint} is not in the rollout {neutralise(supersedes)} any more, which this change was to supersede. Nothing was changed.",
        next=f"Look what became of it: mlconsole rollout status {endpoint}",
    )
