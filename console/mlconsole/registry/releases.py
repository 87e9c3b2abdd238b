"""Endpoints and their releases, outside of an operation: which is live, since when, and the ones that are only written down."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlmodel import Session, col, select

from mlconsole.core.documents import document_of, target_told
from mlconsole.core.operations import Operation, StepState
from mlconsole.core.releases import Release, ReleaseKind, Standing
from mlconsole.core.steps import Phase
from mlconsole.plugin.errors import Conflict
from mlconsole.registry.bodies import dump, from_moment, load
from mlconsole.registry.claims import Telling, admit_kept
from mlconsole.registry.parts import EndpointRow, Part, Recorded, endpoint_row, make_live, recorded, release_row
from mlconsole.registry.tables import EndpointTable, OperationTable, ReleaseTable, StepTable


class Releases(Part):
    """What was wanted of each endpoint, number by number."""

    def endpoints(self, environment: str) -> list[EndpointRow]:
        """The environment's endpoints by name, also those whose live release says that they do not exist (any more). Config documents are
        targets of releases too, and no endpoints.
        """
        statement = select(EndpointTable).where(EndpointTable.environment == environment).order_by(col(EndpointTable.name))

        def work(session: Session) -> list[EndpointRow]:
            return [EndpointRow(row.name, row.live_release) for row in session.exec(statement) if document_of(row.name) is None]

        return self._database.read(work)

    def release(self, environment: str, endpoint: str, number: int) -> Recorded | None:
        """One release, or None."""

        def work(session: Session) -> Recorded | None:
            row = release_row(session, environment, endpoint, number)
            return None if row is None else recorded(row)

        return self._database.read(work)

    def releases(self, environment: str, endpoint: str | None = None, limit: int = 100) -> list[Recorded]:
        """The newest `limit` releases of an endpoint, or of the whole environment; newest first."""
        statement = select(ReleaseTable).where(ReleaseTable.environment == environment)
        if endpoint is not None:
            statement = statement.where(ReleaseTable.endpoint == endpoint)
        statement = statement.order_by(col(ReleaseTable.seq).desc()).limit(limit)
        return self._database.read(lambda session: [recorded(row) for row in session.exec(statement)])

    def live_release(self, environment: str, endpoint: str) -> Recorded | None:
        """The release that the endpoint should be now, or None when we know of none."""
        return self._database.read(lambda session: _live(session, environment, endpoint))

    def adopt(self, release: Release, *, former: Standing = Standing.PAST, supersedes: str = "", tell: Telling | None = None) -> Release:
        """Write down what is there already (*as found*, *kept*) as the live release; returned with the number that it got.

        The release that was live gets the standing `former`. *As found* written twice (by two consoles at once) is one release.

        On an endpoint that is in a rollout only with `supersedes`: that ends it, and people are told of it as `tell` says.

        Raises:
            Conflict: a change of that endpoint is not at its end, and what is there belongs to that; or it is in a rollout.
        """

        def work(session: Session) -> Release:
            busy = session.exec(
                select(OperationTable.id).where(
                    OperationTable.environment == release.environment,
                    OperationTable.endpoint == release.endpoint,
                    col(OperationTable.ended).is_(None),
                )
            ).first()
            if busy is not None:
                raise Conflict(
                    f"{target_told(release.endpoint)} is being changed (change {busy}), so what is there now can't be kept as a release.",
                    next=f"Wait: mlconsole wait {release.endpoint}.",
                )
            live = _live(session, release.environment, release.endpoint)
            if release.kind is ReleaseKind.AS_FOUND and live is not None and live.release.content == release.content:
                return live.release
            who = f"{release.actor}: {release.kind}"
            admit_kept(session, release.environment, release.endpoint, who, self._clock.now(), supersedes, tell)
            endpoint = endpoint_row(session, release.environment, release.endpoint)
            endpoint.last_number += 1
            numbered = replace(release, number=endpoint.last_number)
            row = ReleaseTable(
                environment=release.environment,
                endpoint=release.endpoint,
                number=numbered.number,
                standing=Standing.LIVE,
                body=dump(numbered),
            )
            session.add(endpoint)
            make_live(session, row, former)
            return numbered

        return self._database.write(work)

    def live_since(self, environment: str, endpoint: str) -> datetime | None:
        """When the live release came to stand: the end of its operation, or when it was written down; None without one."""
        return self._database.read(lambda session: _live_since(session, environment, endpoint))

    def traffic_since(self, environment: str, endpoint: str) -> datetime | None:
        """When requests last began to go elsewhere, as far as we know: the end of the last step that shifted traffic, forward or back, or
        the adoption of what somebody else made since; else `live_since`.
        """

        def work(session: Session) -> datetime | None:
            shifted = session.exec(
                select(StepTable.ended)
                .join(OperationTable, col(OperationTable.id) == col(StepTable.operation))
                .where(
                    OperationTable.environment == environment,
                    OperationTable.endpoint == endpoint,
                    StepTable.phase == Phase.SHIFT,
                    StepTable.state == StepState.DONE,
                )
                .order_by(col(StepTable.seq).desc())
            ).first()
            if shifted is None:
                return _live_since(session, environment, endpoint)
            live = _live(session, environment, endpoint)
            adopted = live.release.created if live is not None and live.release.operation is None else None
            return max(from_moment(shifted), adopted) if adopted is not None else from_moment(shifted)

        return self._database.read(work)


def _live(session: Session, environment: str, endpoint: str) -> Recorded | None:
    row = session.get(EndpointTable, (environment, endpoint))
    if row is None or row.live_release is None:
        return None
    live = release_row(session, environment, endpoint, row.live_release)
    return None if live is None else recorded(live)


def _live_since(session: Session, environment: str, endpoint: str) -> datetime | None:
    live = _live(session, environment, endpoint)
    if live is None:
        return None
    if live.release.operation is not None:
        body = session.exec(select(OperationTable.body).where(OperationTable.id == live.release.operation)).first()
        operation = None if body is None else load(Operation, body)
        if operation is not None and operation.ended is not None:
            return operation.ended
    return live.release.created
