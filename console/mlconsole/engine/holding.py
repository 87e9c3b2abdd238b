"""The hold on a running change: its lease kept alive in a thread of its own, its fence, and what people ask of whoever drives it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from mlconsole.core.documents import target_told
from mlconsole.core.operations import Cause, Lease, Operation, Wanted
from mlconsole.core.text import neutralise
from mlconsole.engine.patience import Heart
from mlconsole.plugin.errors import Conflict, MLConsoleError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

T = TypeVar("T")

LEASE_SECONDS = 10.0
"""A lease not renewed for so long is dead, and whoever asked to go back takes it (invariant 5)."""


class Stop:
    """How a person interrupts a running change: the first time it goes back, the second time it is left as it is."""

    def __init__(self) -> None:
        self.times = 0

    def press(self) -> None:
        """Ask once more."""
        self.times += 1

    def look(self) -> None:
        """Called before each step and several times a second while a change goes forward.

        Raises:
            GoBack: it has to go back.
        """


class LeftBetween(MLConsoleError):
    """A person left a change unfinished; nothing watches it now."""

    code = "interrupted"
    exit_code = 130


class GoBack(Exception):
    """The way forward is over; `problem` says why in one sentence, without its full stop, and foreign text in it is harmless."""

    def __init__(self, cause: Cause, problem: str) -> None:
        super().__init__(problem)
        self.cause = cause
        self.problem = neutralise(problem).rstrip(". ")


class Hold:
    """One driver's hold on one operation, from taking the lease to its end. Left by an error it gives the lease back, so that whoever
    recovers the change need not wait for it to run out.
    """

    def __init__(self, session: Session, operation: Operation, leases: Sequence[Lease], stop: Stop) -> None:
        self._registry, self._actor = session.registry, session.actor
        self._operation, self._stop = operation, stop
        self._lease = next(one for one in leases if one.scope == operation.plan.scope)
        self._others = [one for one in leases if one is not self._lease]
        """Those of the other scopes that the change is about; the journal is written under the first."""
        self._changing = threading.RLock()
        self._ended = False
        self._heart = Heart(self._beat)
        self.lost: MLConsoleError | None = None
        """Why this driver may touch nothing more: somebody took the change over."""

    def __enter__(self) -> Hold:
        self._heart.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._heart.__exit__()
        if error is not None and not self._ended:
            for lease in (self._lease, *self._others):
                with suppress(MLConsoleError):
                    self._registry.drop(lease)

    def token(self, role: str) -> int:
        """What goes with each changing call of a role, so that a backend refuses older drivers: each scope has tokens of its own."""
        other = next((one for one in self._others if one.scope == self._operation.plan.also), None)
        return other.token if role == "config" and other is not None else self._lease.token

    def look(self, *, going_back: bool) -> None:
        """Read what is wanted of this driver.

        Raises:
            Conflict: the lease was taken over; nothing more may be touched.
            GoBack: somebody asked to go back, or whatever looks at it meanwhile wants that.
            LeftBetween: a person asked twice.
        """
        if self.lost is not None:
            raise self.lost
        operation = self._operation
        if going_back:
            if self._stop.times < 2:
                return
            target = target_told(operation.endpoint)
            raise LeftBetween(
                f"Left as it is: change {operation.id} of {target} is neither done nor back. Nobody drives it now.",
                next=f"mlconsole recover {operation.id} --env {operation.environment} finishes it.",
            )
        if self._stop.times > 0:
            raise GoBack(Cause.ASKED, f"stopped by {self._actor}")
        self._stop.look()
        asked = self._registry.wanted(operation.id)
        if asked is not None and asked[0] is Wanted.GO_BACK:
            raise GoBack(Cause.ASKED, f"{asked[1]} asked to go back")

    def write(self, work: Callable[[Lease], T]) -> T:
        """Write into the journal as whoever holds the lease.

        Raises:
            Conflict: somebody else does by now; nothing was written, and `lost` is set.
        """
        with self._changing:
            try:
                return work(self._lease)
            except Conflict as error:
                self.lost = error
                raise

    def renew(self) -> None:
        """Ask the registry whether the lease is still ours.

        Raises:
            Conflict: it is not, and `lost` is set.
        """
        self._lease = self.write(self._registry.renew)
        for place, lease in enumerate(self._others):
            self._others[place] = self._kept(lease, self._registry.renew)

    def renew_fence(self) -> None:
        """Go on under a newer token, so that a call that was left behind changes nothing any more once the backend has seen it.

        Raises:
            Locked: somebody else was quicker, and `lost` is set.
        """

        def take(lease: Lease) -> Lease:
            self._registry.drop(lease)
            return self._registry.take_lease(
                lease.environment, lease.scope, lease.holder, lease.operation, lease.purpose, LEASE_SECONDS, takeover=True
            )

        self._lease = self.write(take)
        for place, lease in enumerate(self._others):
            self._others[place] = self._kept(lease, take)

    def _kept(self, lease: Lease, work: Callable[[Lease], Lease]) -> Lease:
        with self._changing:
            try:
                return work(lease)
            except Conflict as error:
                self.lost = error
                raise

    def end(self, work: Callable[[Lease], T]) -> T:
        """Write the operation's end, with which the lease is given back."""
        with self._changing:
            result = self.write(work)
            self._ended = True
            for lease in self._others:
                with suppress(MLConsoleError):  # it runs out by itself
                    self._registry.drop(lease)
            return result

    def _beat(self) -> bool:
        """Renew the lease once; False when there is nothing more to renew."""
        with self._changing:
            if self._ended:
                return False
            try:
                self.renew()
            except Conflict:
                return False
            except MLConsoleError:
                return True  # the registry is locked just now; the lease holds for a while yet
            return True
