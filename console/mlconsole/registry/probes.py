"""Probes: what each saw last, since when, when it saw something else, and its figure over the last day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlmodel import Session, col, delete, select

from mlconsole.core.text import neutralise
from mlconsole.plugin.roles import Sighting
from mlconsole.registry.bodies import from_moment, moment
from mlconsole.registry.parts import Part
from mlconsole.registry.tables import ProbeEventTable, ProbeStateTable, ProbeValueTable

STEP = 10
"""Seconds: a trend has one figure for each."""
TREND = timedelta(days=1)
EVENTS = 1000
"""How many events of one probe are kept: one that flaps does not fill the disk."""


@dataclass(frozen=True)
class ProbeRow:
    """What a probe saw last. `ok` None: it could not ask."""

    environment: str
    name: str
    kind: str
    ok: bool | None
    text: str
    value: float | None
    unit: str
    since: datetime
    """Since when `ok` is so."""
    looked: datetime


@dataclass(frozen=True)
class ProbeEvent:
    """A probe saw something else than before."""

    at: datetime
    name: str
    ok: bool | None
    text: str
    """`1 214 883 → 0 keys`, or what it saw."""
    value: float | None = None


class Probes(Part):
    """What the probes of each environment see."""

    def probe_seen(self, environment: str, name: str, kind: str, sighting: Sighting, at: datetime) -> bool:
        """`probes_seen` for one probe. True: it was an event."""
        return bool(self.probes_seen(environment, [(name, kind, sighting)], at))

    def probes_seen(self, environment: str, seen: Iterable[tuple[str, str, Sighting]], at: datetime) -> list[ProbeEvent]:
        """Note what probes saw: (name, kind, sighting) of each; the events among it.

        An event is another `ok` than before, a first sighting that is not ok, and a figure that falls to 0 or leaves it.
        """
        each = list(seen)

        def work(session: Session) -> list[ProbeEvent]:
            return [event for name, kind, sighting in each if (event := _note(session, environment, name, kind, sighting, at)) is not None]

        return self._database.write(work) if each else []

    def probes(self, environment: str) -> list[ProbeRow]:
        """The last sighting of each probe, by name; also of probes that the workspace names no more."""
        statement = select(ProbeStateTable).where(ProbeStateTable.environment == environment).order_by(col(ProbeStateTable.name))
        return self._database.read(lambda session: [_value(row) for row in session.exec(statement)])

    def probe_events(self, environment: str, since: datetime, limit: int = 200) -> list[ProbeEvent]:
        """The newest `limit` events since then, oldest first."""
        statement = (
            select(ProbeEventTable)
            .where(ProbeEventTable.environment == environment, col(ProbeEventTable.at) >= moment(since))
            .order_by(col(ProbeEventTable.seq).desc())
            .limit(limit)
        )
        return self._database.read(lambda session: [_event(row) for row in reversed(session.exec(statement).all())])

    def probe_values(self, environment: str, name: str, since: datetime) -> list[tuple[datetime, float]]:
        """A probe's figure since then, at most one each ten seconds and of the last day, oldest first."""
        statement = (
            select(ProbeValueTable.at, ProbeValueTable.value)
            .where(
                ProbeValueTable.environment == environment, ProbeValueTable.name == name, col(ProbeValueTable.at) >= int(since.timestamp())
            )
            .order_by(col(ProbeValueTable.at))
        )
        return self._database.read(
            lambda session: [(datetime.fromtimestamp(at, UTC), value) for at, value in session.exec(statement)],
        )


def _note(session: Session, environment: str, name: str, kind: str, sighting: Sighting, at: datetime) -> ProbeEvent | None:
    row = session.get(ProbeStateTable, (environment, name))
    text = neutralise(sighting.text)[:500]
    told = _told(row, sighting, text)
    if row is None:
        row = ProbeStateTable(environment=environment, name=name, kind=kind, text="", unit="", since=moment(at), looked="")
    elif row.ok is not sighting.ok:
        row.since = moment(at)
    row.kind, row.ok, row.text, row.unit, row.looked = kind, sighting.ok, text, neutralise(sighting.unit), moment(at)
    row.value = sighting.value
    session.add(row)
    if sighting.value is not None:
        _keep(session, environment, name, sighting.value, at)
    if not told:
        return None
    event = ProbeEventTable(environment=environment, name=name, at=moment(at), ok=sighting.ok, value=sighting.value, text=told)
    session.add(event)
    session.flush()
    _forget(session, environment, name)
    return _event(event)


def _told(row: ProbeStateTable | None, sighting: Sighting, text: str) -> str:
    """The event in words; empty: there is none."""
    before, now = (None if row is None else row.value), sighting.value
    # A figure that falls to nothing says more than the probe's sentence.
    if before is not None and now is not None and before != now and (before == 0 or now == 0):
        return f"{number(before)} → {number(now)} {neutralise(sighting.unit)}".rstrip()
    changed = sighting.ok is False if row is None else row.ok is not sighting.ok
    return (text or ("well" if sighting.ok else "failing")) if changed else ""


def _keep(session: Session, environment: str, name: str, value: float, at: datetime) -> None:
    place = int(at.timestamp()) // STEP * STEP
    if session.get(ProbeValueTable, (environment, name, place)) is not None:
        return
    session.add(ProbeValueTable(environment=environment, name=name, at=place, value=value))
    oldest = int((at - TREND).timestamp())
    session.exec(
        delete(ProbeValueTable).where(
            col(ProbeValueTable.environment) == environment, col(ProbeValueTable.name) == name, col(ProbeValueTable.at) < oldest
        )
    )


def _forget(session: Session, environment: str, name: str) -> None:
    mine = (col(ProbeEventTable.environment) == environment, col(ProbeEventTable.name) == name)
    over = session.exec(select(ProbeEventTable.seq).where(*mine).order_by(col(ProbeEventTable.seq).desc()).offset(EVENTS).limit(1)).first()
    if over is not None:
        session.exec(delete(ProbeEventTable).where(*mine, col(ProbeEventTable.seq) <= over))


def number(value: float) -> str:
    """A figure as people read it: `1 214 883`, `0`, `3.4`."""
    return f"{round(value):,}".replace(",", " ") if value == round(value) or abs(value) >= 100 else f"{value:.3g}"


def _value(row: ProbeStateTable) -> ProbeRow:
    return ProbeRow(
        environment=row.environment,
        name=row.name,
        kind=row.kind,
        ok=row.ok,
        text=row.text,
        value=row.value,
        unit=row.unit,
        since=from_moment(row.since),
        looked=from_moment(row.looked),
    )


def _event(row: ProbeEventTable) -> ProbeEvent:
    return ProbeEvent(from_moment(row.at), row.name, row.ok, row.text, row.value)
