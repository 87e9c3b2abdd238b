"""Model versions: registered once, never changed."""

from __future__ import annotations

from sqlmodel import Session, col, select

from mlconsole.core.live import short_digest
from mlconsole.core.models import ModelVersion
from mlconsole.plugin.errors import AlreadyExists
from mlconsole.registry.bodies import dump, load
from mlconsole.registry.parts import Part
from mlconsole.registry.tables import VersionTable


class Versions(Part):
    """Which versions of which models there are."""

    def add_version(self, version: ModelVersion) -> bool:
        """Register a version. True: it is new; False: the very same bytes were registered under that name before (nothing is changed then).

        Raises:
            AlreadyExists: the name is taken by other bytes.
        """
        body = dump(version)

        def work(session: Session) -> bool:
            there = _find(session, version.model, version.version)
            if there is None:
                session.add(VersionTable(model=version.model, version=version.version, digest=version.artifact.digest, body=body))
                return True
            if there.digest == version.artifact.digest:
                return False
            raise AlreadyExists(
                f"{version.name} is registered already with other bytes: {short_digest(there.digest)}, and these are "
                f"{short_digest(version.artifact.digest)}. A version never changes; nothing was registered.",
                next="Register these as another version.",
            )

        return self._database.write(work)

    def versions(self, model: str | None = None) -> list[ModelVersion]:
        """All versions, or those of one model: by model, then as they were registered."""
        statement = select(VersionTable.body).order_by(col(VersionTable.model), col(VersionTable.seq))
        if model is not None:
            statement = statement.where(VersionTable.model == model)
        bodies = self._database.read(lambda session: session.exec(statement).all())
        return [load(ModelVersion, body) for body in bodies]

    def versions_after(self, place: int) -> tuple[list[ModelVersion], int]:
        """What was registered after a place in the order of registration (0: everything), in that order, and the place of the last of them.
        Versions never change, so whoever watches reads each of them once.
        """
        statement = select(VersionTable.seq, VersionTable.body).where(col(VersionTable.seq) > place).order_by(col(VersionTable.seq))
        rows = self._database.read(lambda session: session.exec(statement).all())
        return [load(ModelVersion, body) for _, body in rows], (rows[-1][0] or place) if rows else place

    def version(self, model: str, version: str) -> ModelVersion | None:
        """One version, or None."""

        def work(session: Session) -> ModelVersion | None:
            row = _find(session, model, version)
            return None if row is None else load(ModelVersion, row.body)

        return self._database.read(work)

    def models(self) -> list[str]:
        """The names of all models, sorted."""
        statement = select(VersionTable.model).distinct().order_by(col(VersionTable.model))
        return list(self._database.read(lambda session: session.exec(statement).all()))


def _find(session: Session, model: str, version: str) -> VersionTable | None:
    return session.exec(select(VersionTable).where(VersionTable.model == model, VersionTable.version == version)).first()
