"""Config documents: the bytes of every version that was ever planned, drafts, and the forecasts that versions were published with.

Which versions there were, by whom and why, the releases of the target `config:NAME` tell.
"""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import Session, col, select

from mlconsole.core.documents import Draft, digest_of
from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import Conflict
from mlconsole.registry.bodies import dump, load
from mlconsole.registry.parts import Part
from mlconsole.registry.tables import DocumentBytesTable, DraftTable, ForecastTable


class Documents(Part):
    """What config documents said, and what somebody would like them to say."""

    def keep_bytes(self, body: bytes) -> str:
        """Keep the bytes of a version under their digest, which is returned; kept once, however often."""
        digest = digest_of(body)
        self._database.write(lambda session: _keep(session, digest, body))
        return digest

    def bytes_of(self, digest: str) -> bytes | None:
        """The bytes of that digest, or None."""

        def work(session: Session) -> bytes | None:
            row = session.get(DocumentBytesTable, digest)
            return None if row is None else bytes(row.body)

        return self._database.read(work)

    def draft(self, environment: str, document: str) -> Draft | None:
        """The draft of a document, or None."""

        def work(session: Session) -> Draft | None:
            row = session.get(DraftTable, (environment, document))
            return _draft(row)

        return self._database.read(work)

    def drafts(self, environment: str) -> list[Draft]:
        """All drafts of an environment, by document."""
        statement = (
            select(DraftTable.body).where(DraftTable.environment == environment, DraftTable.body != "").order_by(col(DraftTable.document))
        )
        return self._database.read(lambda session: [load(Draft, body) for body in session.exec(statement)])

    def save_draft(self, draft: Draft, body: bytes) -> Draft:
        """Write a draft down; `draft.edition` is the one that it was made from (0: there was none). Returned with its new edition.

        Raises:
            Conflict: somebody else's edit came between; nothing was written.
        """
        digest = digest_of(body)

        def work(session: Session) -> Draft:
            row = session.get(DraftTable, (draft.environment, draft.document))
            there = _draft(row)
            if (there.edition if there else 0) != draft.edition:
                raise _edited(draft.document, there)
            _keep(session, digest, body)
            saved = replace(draft, edition=(row.edition if row else 0) + 1, digest=digest)
            if row is None:
                row = DraftTable(environment=draft.environment, document=draft.document, edition=saved.edition, body=dump(saved))
            row.edition, row.body = saved.edition, dump(saved)
            session.add(row)
            return saved

        return self._database.write(work)

    def drop_draft(self, environment: str, document: str, edition: int | None = None) -> bool:
        """Throw a draft away. False: there was none.

        Raises:
            Conflict: it is not that edition any more; nothing was thrown away.
        """

        def work(session: Session) -> bool:
            row = session.get(DraftTable, (environment, document))
            there = _draft(row)
            if row is None or there is None:
                return False
            if edition is not None and there.edition != edition:
                raise _edited(document, there)
            row.edition, row.body = there.edition + 1, ""
            session.add(row)
            return True

        return self._database.write(work)

    def save_forecast(self, environment: str, document: str, version: int, body: str) -> None:
        """Keep what a version was expected to do, and how that stands by now (JSON)."""

        def work(session: Session) -> None:
            row = session.get(ForecastTable, (environment, document, version))
            if row is None:
                row = ForecastTable(environment=environment, document=document, version=version, body=body)
            elif row.body == body:
                return
            row.body = body
            session.add(row)

        self._database.write(work)

    def forecast(self, environment: str, document: str, version: int) -> str | None:
        """What a version was expected to do (JSON), or None."""

        def work(session: Session) -> str | None:
            row = session.get(ForecastTable, (environment, document, version))
            return None if row is None else row.body

        return self._database.read(work)


def _draft(row: DraftTable | None) -> Draft | None:
    return load(Draft, row.body) if row is not None and row.body else None


def _keep(session: Session, digest: str, body: bytes) -> None:
    if session.get(DocumentBytesTable, digest) is None:
        session.add(DocumentBytesTable(digest=digest, body=body))
        session.flush()


def _edited(document: str, there: Draft | None) -> Conflict:
    if there is None:
        return Conflict(f"The draft of {document} was published or thrown away meanwhile. Nothing was changed.", next="Begin it again.")
    who = neutralise(there.actor.user)
    at = there.changed.astimezone()
    return Conflict(
        f"{who} edited the draft of {document} at {at:%H:%M:%S}, after you read it (edition {there.edition}). Nothing was changed.",
        next=f"Read it anew: mlconsole config diff {document}",
    )
