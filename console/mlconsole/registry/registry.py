"""The registry of one workspace: everything that must not be lost, in one SQLite file."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from sqlmodel import select

from mlconsole.core.clock import Clock
from mlconsole.registry.alarms import Alarms
from mlconsole.registry.approvals import Approvals
from mlconsole.registry.database import Database, open_database
from mlconsole.registry.documents import Documents
from mlconsole.registry.drivers import Drivers
from mlconsole.registry.journal import Journal
from mlconsole.registry.leases import Leases
from mlconsole.registry.outbox import Outbox
from mlconsole.registry.plans import Plans
from mlconsole.registry.probes import Probes
from mlconsole.registry.releases import Releases
from mlconsole.registry.rollouts import Rollouts
from mlconsole.registry.runs import Runs
from mlconsole.registry.tables import RevisionTable
from mlconsole.registry.versions import Versions
from mlconsole.registry.watchers import Watchers


class Registry(Versions, Releases, Plans, Journal, Leases, Alarms, Outbox, Watchers, Runs, Probes, Rollouts, Drivers, Approvals, Documents):
    """Versions, releases, plans, the journal, leases and control; alarms, the outbox, watchers, runs of actions and probes; rollouts, their
    drivers, approvals; config documents.

    Usable from several threads, not across a fork.

    Every method is one transaction, and may raise `RegistryUnusable` or `RegistryLocked` besides what it says itself.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    @property
    def read_only(self) -> bool:
        """Whether every change is refused: opened so, or its file or folder can't be written."""
        return bool(self._database.why_read_only)

    def revision(self) -> int:
        """A number that rises whenever versions, releases, changes, rollouts, approvals, drafts, alarms, actions or what probes found are
        written; not with signs of life, locks and figures. Whoever looks again and again sees by it that there is nothing to be read anew.
        """
        return self._database.read(lambda session: session.exec(select(RevisionTable.number)).one())

    def close(self) -> None:
        """Give the connections back; using it again opens them anew."""
        self._database.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_registry(path: Path, *, clock: Clock, read_only: bool = False, deadline: float = 30.0, create: bool = True) -> Registry:
    """Open the registry at `path`; make it where there is none (0600, its folder 0700), bring it up to date where it is older.

    `deadline`: how many seconds any one transaction waits for other processes. A file or folder that can't be written is opened to be read
    only, as with `read_only`.

    Raises:
        RegistryUnusable: missing (and not to be made), corrupt, no registry, from a newer mlconsole, not permitted, disk full.
        RegistryLocked: another process makes or migrates it for longer than that.
    """
    return Registry(open_database(path, read_only=read_only, deadline=deadline, create=create), clock)
