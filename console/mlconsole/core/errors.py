"""The root of the one error tree; the rest of it, which plugins raise too, is `mlconsole.plugin.errors`."""

from __future__ import annotations


class MLConsoleError(Exception):
    """Something a person has to know: what is, to what and why (`message`), and what to do next (`next`).

    The same two sentences are shown on screen, on stderr and in JSON, with `code` for scripts; a command that ends with this error exits
    with `exit_code` (design §6).
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, next: str = "") -> None:  # noqa: A002 - the word scripts read in JSON
        super().__init__(message)
        self.message = message
        self.next = next

    def __str__(self) -> str:
        return f"{self.message} {self.next}".strip()


class UsageError(MLConsoleError):
    """What was asked makes no sense as it was written; nothing was changed."""

    code = "usage"
    exit_code = 2


class UnknownName(UsageError):
    """A model, version, endpoint, variant, environment, … that does not exist; `message` names the nearest ones that do."""

    code = "unknown_name"


class InvalidTraffic(UsageError):
    """Shares that no backend could serve: out of range, not summing to 100 %, for a variant that is not there."""

    code = "invalid_traffic"


class InvalidFile(UsageError):
    """A file of the workspace that cannot be used as it is; `message` gives path, line and column where they are known."""

    code = "invalid_file"
