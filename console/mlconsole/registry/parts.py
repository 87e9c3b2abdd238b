"""What the parts of the registry share, and the small values that it gives out besides the core's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from mlconsole.core.clock import Clock
from mlconsole.core.models import Actor
from mlconsole.core.operations import Lease, Operation, StepRecord
from mlconsole.core.releases import Release, Standing
from mlconsole.plugin.errors import Conflict
from mlconsole.registry.bodies import from_moment, load, moment
from mlconsole.registry.database import Database
from mlconsole.registry.tables import AlarmEventTable, EndpointTable, LeaseTable, OperationTable, ReleaseTable, StepTable


@dataclass(frozen=True)
class Recorded:
    """A release and where it stands by now."""

    release: Release
    standing: Standing


@dataclass(frozen=True)
class EndpointRow:
    """An endpoint that the registry knows, and the number of its live release (None: nothing of it ever came to stand)."""

    name: str
    live: int | None


@dataclass(frozen=True)
class LeaseRow:
    """A lease that is held, and how its holder is."""

    lease: Lease
    alive: bool
    age: float
    """Seconds since its holder's last sign of life."""
    dead_because: str = ""
    """Why it is not alive, for people; empty while it is."""


class Part:
    """One part of the registry: the database and the clock that it works with."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock


def unfinished_on(session: Session, environment: str, scope: str) -> Operation | None:
    """The operation that has not come to its end and changes that scope, alone or among others; None: there is none."""
    statement = select(OperationTable.body).where(OperationTable.environment == environment, col(OperationTable.ended).is_(None))
    found = (load(Operation, body) for body in session.exec(statement))
    return next((one for one in found if scope in one.plan.scopes), None)


def steps_of(session: Session, operation: str) -> list[StepRecord]:
    """The journal of one operation in the order of intent."""
    statement = select(StepTable.body).where(StepTable.operation == operation).order_by(col(StepTable.seq))
    return [load(StepRecord, body) for body in session.exec(statement)]


def held_row(session: Session, lease: Lease) -> LeaseTable:
    """The row of a lease that is still the newest of its scope and was not dropped.

    Raises:
        Conflict: it is not; whoever holds it may write no more.
    """
    row = session.get(LeaseTable, (lease.environment, lease.scope))
    if row is not None and row.held and row.token == lease.token:
        return row
    if row is None or row.token == lease.token:
        lost = f"The lock on {lease.scope} was given up already"
    else:
        holder = load(Actor, row.holder)
        since = from_moment(row.taken_at).astimezone().strftime("%H:%M:%S")
        lost = f"The lock on {lease.scope} was taken over by {holder} at {since}" + (f" ({row.purpose})" if row.purpose else "")
    raise Conflict(f"{lost}; what this change still wanted to record was not written.", next="See what became of it: mlconsole history.")


def lost_meanwhile(lease: Lease) -> Conflict:
    """A lease was not there any more when it was to be changed."""
    return Conflict(f"The lock on {lease.scope} is no longer this change's. Nothing was changed.", next="mlconsole status tells what runs.")


def endpoint_row(session: Session, environment: str, name: str) -> EndpointTable:
    """The endpoint's row, made when it is new; for writing."""
    row = session.get(EndpointTable, (environment, name))
    if row is None:
        row = EndpointTable(environment=environment, name=name)
        session.add(row)
        session.flush()
    return row


def release_row(session: Session, environment: str, endpoint: str, number: int) -> ReleaseTable | None:
    """One release's row."""
    statement = select(ReleaseTable).where(
        ReleaseTable.environment == environment, ReleaseTable.endpoint == endpoint, ReleaseTable.number == number
    )
    return session.exec(statement).first()


def recorded(row: ReleaseTable) -> Recorded:
    """A release's row as a value."""
    return Recorded(load(Release, row.body), Standing(row.standing))


def make_live(session: Session, row: ReleaseTable, former: Standing) -> None:
    """`row` becomes the endpoint's live release; the one before it gets the standing `former`."""
    endpoint = endpoint_row(session, row.environment, row.endpoint)
    if endpoint.live_release is not None and endpoint.live_release != row.number:
        before = release_row(session, row.environment, row.endpoint, endpoint.live_release)
        if before is not None:
            before.standing = former
            session.add(before)
    row.standing = Standing.LIVE
    endpoint.live_release = row.number
    session.add(row)
    session.add(endpoint)


def clock_time(when: datetime, now: datetime) -> str:
    """A moment as people on this machine read it: `14:02`, with the date when it was another day."""
    here = when.astimezone()
    return here.strftime("%H:%M" if here.date() == now.astimezone().date() else "%Y-%m-%d %H:%M")


def note_event(session: Session, alarm: int, at: datetime, kind: str, text: str, key: str | None = None) -> bool:
    """Note what happened in an alarm. False: that `key` was noted before, and nothing was written."""
    if key is not None:
        same = select(AlarmEventTable.seq).where(AlarmEventTable.alarm == alarm, AlarmEventTable.key == key)
        if session.exec(same).first() is not None:
            return False
    session.add(AlarmEventTable(alarm=alarm, at=moment(at), kind=kind, key=key, text=text))
    session.flush()
    return True
