"""The one error tree. A plugin raises the `BackendError`s; everything else is the engine's own."""

from __future__ import annotations

from mlconsole.core.errors import InvalidFile, InvalidTraffic, MLConsoleError, UnknownName, UsageError


class BackendError(MLConsoleError):
    """A backend could not do what it was asked. Foreign text in it is neutralised before it is shown."""

    code = "backend"


class NotFound(BackendError):
    """The thing that was named does not exist at the backend."""

    code = "not_found"


class InvalidRequest(BackendError):
    """The backend says that the call itself is wrong; trying again will not help."""

    code = "invalid_request"


class Refused(BackendError):
    """The backend can't or won't do this: a limit, a permission, a platform that it does not run on."""

    code = "refused_by_backend"


class Conflict(BackendError):
    """Somebody else changed, or is changing, the same thing; also a fence token that is no longer the newest."""

    code = "conflict"
    exit_code = 5


class Throttled(BackendError):
    """Asked too often. Never counted as a failure of a model (trap: field notes §3)."""

    code = "throttled"
    exit_code = 6


class Unavailable(BackendError):
    """The backend does not answer. Nothing is known about what it would have said."""

    code = "unavailable"
    exit_code = 6


class OutcomeUnknown(Unavailable):
    """A changing call went past its deadline: it may have worked or not; only describing the endpoint again tells."""

    code = "outcome_unknown"


class AuthFailed(BackendError):
    """Credentials that are missing, wrong or expired."""

    code = "auth_failed"
    exit_code = 6


class NotAllowed(MLConsoleError):
    """Our own rules refuse it: read-only, a freeze, a policy, a name that was not typed."""

    code = "refused"
    exit_code = 7

    def __init__(self, message: str, *, next: str = "", glass: bool = False) -> None:  # noqa: A002 - as in the error that it is one of
        super().__init__(message, next=next)
        self.glass = glass
        """Whether a reason overrules it: `--break-glass`."""


class ConfirmationNeeded(UsageError):
    """A person has to say yes, or type a name, and nobody could be asked; nothing was changed."""

    code = "confirmation_needed"


class ApprovalNeeded(MLConsoleError):
    """A colleague has to approve it first. The request for that is made; nothing else was changed."""

    code = "approval_needed"
    exit_code = 4

    def __init__(self, message: str, *, next: str = "", request: int = 0) -> None:  # noqa: A002 - as in the error that it is one of
        super().__init__(message, next=next)
        self.request = request
        """The number of the request."""


class ChangedOutside(Conflict):
    """The live state is not the live release, and no operation of ours made it so."""

    code = "changed_outside"


class Locked(Conflict):
    """Another change holds the lease on the scope."""

    code = "locked"


class PlanOutdated(Conflict):
    """A plan was made from another live state than there is now, or has been run already."""

    code = "plan_outdated"


class AlreadyExists(Conflict):
    """The same name with other content."""

    code = "already_exists"


class DigestMismatch(MLConsoleError):
    """An artifact is no longer the bytes that were registered: an alarm, not a deployment."""

    code = "digest_mismatch"


class RegistryUnusable(MLConsoleError):
    """The registry can't be read or written: locked, read-only, full disk, corrupt, or from a newer release."""

    code = "registry"


class RegistryNewer(RegistryUnusable):
    """The registry was written by a newer release than this one."""


class RegistryLocked(RegistryUnusable):
    """Another process held the registry's lock longer than this command could wait."""

    code = "registry_locked"
    exit_code = 5


class StoreUnusable(MLConsoleError):
    """The store of observations can't be read or written: read-only, full disk, corrupt, replaced, or from a newer release."""

    code = "observations"


class StoreLocked(StoreUnusable):
    """Another process held the store's lock longer than this one could wait; trying again helps."""

    code = "observations_locked"
    exit_code = 5


class WentBack(MLConsoleError):
    """A change did not come to stand; the endpoint is in its revert target again."""

    code = "went_back"


class StillRunning(MLConsoleError):
    """The time given ran out while the work goes on."""

    code = "timed_out"
    exit_code = 8


__all__ = [
    "AlreadyExists",
    "ApprovalNeeded",
    "AuthFailed",
    "BackendError",
    "ChangedOutside",
    "ConfirmationNeeded",
    "Conflict",
    "DigestMismatch",
    "InvalidFile",
    "InvalidRequest",
    "InvalidTraffic",
    "Locked",
    "MLConsoleError",
    "NotAllowed",
    "NotFound",
    "OutcomeUnknown",
    "PlanOutdated",
    "Refused",
    "RegistryLocked",
    "RegistryUnusable",
    "StillRunning",
    "StoreLocked",
    "StoreUnusable",
    "Throttled",
    "Unavailable",
    "UnknownName",
    "UsageError",
    "WentBack",
]
