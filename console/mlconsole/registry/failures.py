"""The one place where what SQLite, SQLAlchemy and the file system say becomes an error that a person can act on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mlconsole.core.errors import MLConsoleError
from mlconsole.plugin.errors import RegistryLocked, RegistryNewer, RegistryUnusable

_RESTORE = "Put a copy of it in its place (registry.db.before-… beside it is one), or move it away to begin a new history."
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def told(error: Exception, path: Path) -> MLConsoleError:
    """What `error` means for the registry at `path`."""
    if isinstance(error, MLConsoleError):
        return error
    if isinstance(error, OSError):
        return _of_system(error, path)
    if isinstance(error, PoolTimeout):
        return RegistryUnusable(f"The registry {path} was not reached: too many threads of this program use it at once.", next="Try again.")
    code = _code(error)
    if code in _BUSY:
        return locked(path)
    if code in _DAMAGED:
        return RegistryUnusable(f"The registry {path} is damaged: {_words(error)}. Nothing was changed.", next=_RESTORE)
    if code == sqlite3.SQLITE_NOTADB:
        return not_ours(path, "is not an SQLite database")
    if code == sqlite3.SQLITE_FULL:
        return full(path)
    if code == sqlite3.SQLITE_READONLY:
        return read_only(path, "its file or folder is read-only")
    if code in (sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN):
        return RegistryUnusable(
            f"The registry {path} can't be opened: {_words(error)}. Nothing was changed.",
            next=f"Look who may read and write it: ls -la {path.parent}",
        )
    if code == sqlite3.SQLITE_IOERR:
        return RegistryUnusable(
            f"The registry {path} can't be read or written: {_words(error)}. Only reading it again tells whether the last change is in it.",
            next=f"Look at its disk and its size: df {path.parent}; ls -la {path.parent}",
        )
    if "no such table" in str(error) or "no such column" in str(error):
        return RegistryUnusable(f"The registry {path} is damaged: {_words(error)}. Nothing was changed.", next=_RESTORE)
    return RegistryUnusable(f"The registry {path} can't be used: {_words(error)}. Nothing was changed.", next="Report this.")


def is_busy(error: Exception) -> bool:
    """Whether somebody else only held the lock, so that trying again helps."""
    return _code(error) in _BUSY


def is_unopenable(error: BaseException | None) -> bool:
    """Whether SQLite could not make or open a file beside the database."""
    return _code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)


def locked(path: Path) -> RegistryLocked:
    """Somebody held the registry for longer than this command could wait."""
    return RegistryLocked(
        f"The registry {path} is locked by another process for longer than this command could wait. Nothing was changed.",
        next="Try again. Who has it open: fuser " + str(path),
    )


def missing(path: Path) -> RegistryUnusable:
    """There is none, and none is to be made."""
    return RegistryUnusable(
        f"There is no registry at {path} yet: nothing was ever recorded in this workspace.", next="The first changing command makes it."
    )


def not_ours(path: Path, what: str) -> RegistryUnusable:
    """Something else lies where the registry should be; `what` continues *The file …*."""
    return RegistryUnusable(f"The file {path} {what}, so it is no registry of mlconsole. Nothing was changed.", next=_RESTORE)


def read_only(path: Path, why: str) -> RegistryUnusable:
    """A change was asked of a registry that can only be read."""
    return RegistryUnusable(
        f"The registry {path} can only be read: {why}. Nothing was changed.", next=f"Look who may write it: ls -la {path.parent}"
    )


def full(path: Path) -> RegistryUnusable:
    """No room for another page."""
    return RegistryUnusable(
        f"The registry {path} can't grow: its disk is full. Nothing was changed.", next=f"Make room: df {path.parent}, then try again."
    )


def newer(path: Path, found: int, known: int) -> RegistryNewer:
    """A schema from the future."""
    return RegistryNewer(
        f"The registry {path} was written by a newer mlconsole (schema {found}, this one knows {known}). Nothing was read or changed.",
        next="Upgrade mlconsole here: pip install --upgrade mlconsole.",
    )


def older(path: Path, found: int, known: int) -> RegistryUnusable:
    """A schema of the past that can't be brought up to date, because nothing may be written."""
    return RegistryUnusable(
        f"The registry {path} was written by an older mlconsole (schema {found}, this one wants {known}), and can only be read here.",
        next="Run any command once where it can be written: that brings it up to date.",
    )


def _code(error: BaseException | None) -> int | None:
    if isinstance(error, DBAPIError):
        error = error.orig
    code = getattr(error, "sqlite_errorcode", None)  # absent on errors of the sqlite3 module itself, such as text that is not UTF-8
    return None if code is None else code & 0xFF  # the rest says which kind of it


def _words(error: Exception) -> str:
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(original).partition("\n")[0].rstrip(".") or type(original).__name__


def _of_system(error: OSError, path: Path) -> RegistryUnusable:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full(path)
    if error.errno == errno.EROFS:
        return read_only(path, "its file system is read-only")
    why = error.strerror or str(error)
    return RegistryUnusable(
        f"The registry {path} can't be reached: {why[:1].lower()}{why[1:]} ({error.filename or path}). Nothing was changed.",
        next=f"Look who may read and write it: ls -la {path.parent}",
    )
