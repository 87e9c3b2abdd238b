"""The plugin's folder for one environment: who lives where in it, its lock, its fences, and the ports it was given."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlconsole.plugin.errors import Conflict, InvalidRequest, Refused, Unavailable

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
LOOPBACK = "127.0.0.1"
ACCESS_LOG, ENVOY_LOG, ENVOY_RECORD = "access.log", "envoy.log", "envoy.json"
PREDICTION_LOG = "predictions.jsonl"
READY = "ready"
"""A server's note, with its pid, that it has been ready once: from then on silence is a failure, and no longer loading."""
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})


@dataclass(frozen=True)
class Layout:
    """Where everything of one environment lies under `root` (0700)."""

    root: Path

    @property
    def gateway(self) -> Path:
        """Envoy's folder: its bootstrap, its resources, its access log, its keeper."""
        return self.root / "gateway"

    @property
    def variants(self) -> Path:
        """`<endpoint>/<variant>/` for each model server."""
        return self.root / "variants"

    @property
    def services(self) -> Path:
        """`<name>/` for each companion service."""
        return self.root / "services"

    @property
    def replay(self) -> Path:
        """`<endpoint>/` for each replay of recorded traffic."""
        return self.root / "replay"

    @property
    def config(self) -> Path:
        """`<document>/` for each config document."""
        return self.root / "config"

    def variant(self, endpoint: str, variant: str) -> Path:
        """The folder of one variant's server."""
        return self.variants / checked("an endpoint", endpoint) / checked("a variant", variant)

    def service(self, name: str) -> Path:
        """The folder of one companion service."""
        return self.services / checked("a service", name)

    def replay_of(self, endpoint: str) -> Path:
        """The folder of an endpoint's replay."""
        return self.replay / checked("an endpoint", endpoint)

    def document(self, name: str) -> Path:
        """The folder of one config document."""
        return self.config / checked("a config document", name)


def checked(what: str, name: str) -> str:
    """A name that is safe as a folder and as part of a cluster's name; returned as it is.

    Raises:
        InvalidRequest: it is not.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} can't name {what} here.",
            next="Use at most 64 letters, digits, dots, dashes and underscores, with a letter or digit at both ends.",
        )
    return name


def private(folder: Path) -> Path:
    """The folder, made with its missing parents, readable by its owner only; returned as it is."""
    missing = []
    path = folder
    while not path.exists():
        missing.append(path)
        path = path.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return folder


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write beside and move in place, mode 0600: a reader sees the old or the new text, never a part.

    `durable` also waits for the disk; what a crash of the *machine* may lose does without.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """`write_text` of a value as JSON."""
    write_text(path, json.dumps(value, sort_keys=True) + "\n", durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in the file; None when there is no such file, or nothing sensible in it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def locked(root: Path, *, seconds: float = 10.0) -> Iterator[None]:
    """The environment's critical section, between processes: whoever changes something here holds it for a moment.

    The kernel frees it when its holder dies. Not re-entrant.

    Raises:
        Unavailable: somebody else held it for all of `seconds`.
        Refused: the disk is full or can't be written, before it or while in it.
    """
    with _disk_told(root):
        descriptor = os.open(private(root) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Unavailable(
                            f"Another process has held {root / 'lock'} for {seconds:g} s. Nothing was changed.",
                            next="Try again in a moment.",
                        ) from None
                    time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _disk_told(root: Path) -> Iterator[None]:
    """What a disk refuses, as one sentence instead of a traceback."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        named = error.filename if isinstance(error.filename, (str, Path)) and not Path(error.filename).name.startswith(".") else root
        raise Refused(f"{named} can't be written: {error.strerror}.", next="Free some space there, or make it yours to write.") from error


def check_fence(root: Path, endpoint: str, token: int) -> None:
    """Refuse a lease's token that is older than the newest one seen, else remember it. Call it holding `locked(root)`.

    Raises:
        Conflict: a newer driver has been here; nothing was changed.
    """
    path = root / "fences.json"
    seen = read_json(path) or {}
    newest = int(seen.get(endpoint, 0))
    if token < newest:
        raise Conflict(
            f"{endpoint} is being changed by somebody newer (token {newest}, ours is {token}). Nothing was changed.",
            next="Look what the newer change does: mlconsole history.",
        )
    if token > newest:
        write_json(path, {**seen, endpoint: token}, durable=True)


def port_for(root: Path, name: str) -> int:
    """The loopback port remembered under `name` while nobody else listens on it, else a new one. Call it holding `locked(root)`.

    Raises:
        Refused: the system has no free port.
    """
    path = root / "ports.json"
    known = {key: int(value) for key, value in (read_json(path) or {}).items()}
    port = known.get(name)
    if port is None or not port_is_free(port):
        taken = set(known.values())
        port = next((found for found in (_ask_for_port() for _ in range(64)) if found not in taken), None)
        if port is None:
            raise Refused("The system gave no free port on 127.0.0.1.", next="End something that listens on many ports.")
        write_json(path, {**known, name: port})
    return port


def forget_port(root: Path, name: str) -> None:
    """Forget the port remembered under `name`. Call it holding `locked(root)`."""
    known = read_json(root / "ports.json") or {}
    if known.pop(name, None) is not None:
        write_json(root / "ports.json", known)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on that loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of a server that ended a moment ago (TIME_WAIT) don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _ask_for_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
