"""The files of one config document: versions that never change, what is known about each, and the manifest that applications poll.

::

    config/models/
        current.json            the manifest: what is published, to which share of the clients; replaced as a whole
        versions/000012.json    the bytes of version 12, as they were added
        about/000012.json       its digest, size and time; a version is there as soon as this is

Whatever is written is written beside, brought to the disk and moved in place, bytes before what names them: who is killed in between
leaves a version that nobody names, and never a name without its bytes.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from mlconsole.core.documents import WHOLE, digest_of
from mlconsole.plugin.errors import NotFound, Unavailable
from mlconsole_local.state import private

SCHEMA = 1
_NUMBER = re.compile(r"([0-9]{6,})\.json")
_T = TypeVar("_T")


@dataclass(frozen=True)
class About:
    """What is known about a version beside its bytes."""

    number: int
    digest: str
    size: int
    file: str
    """Where its bytes are, from the document's folder."""
    created: str
    release: str = ""


@dataclass(frozen=True)
class Manifest:
    """What is published. Clients read `version`, or `before` where they are not within `share` (bp) of them."""

    document: str
    publication: int
    """Rises with every change of what is published."""
    seed: int
    """Which clients are the first to get a version: the number of the publication with which it came."""
    version: int
    digest: str
    size: int
    file: str
    share: int
    since: str
    fence: int
    release: str = ""
    before: int | None = None
    before_digest: str = ""
    before_size: int = 0
    before_file: str = ""
    schema: int = SCHEMA

    def says(self, other: Manifest) -> bool:
        """Whether both publish the same to the same clients."""
        mine, others = ((one.version, one.digest, one.share, one.before, one.before_digest) for one in (self, other))
        return mine == others


class DocumentFiles:
    """One document's folder. Reading needs no lock; whatever writes is called holding `locked(self.folder)`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # Reading.

    def numbers(self) -> list[int]:
        """The numbers of all versions, in order."""
        try:
            names = [path.name for path in (self.folder / "about").iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.folder / "about", error) from error
        return sorted(int(found[1]) for found in map(_NUMBER.fullmatch, names) if found)

    def about(self, number: int) -> About | None:
        """What is known about a version; None: there is none of that number.

        Raises:
            Unavailable: there is one, and what was written about it can't be read.
        """
        return _read(self.folder / "about" / f"{number:06d}.json", About)

    def manifest(self) -> Manifest | None:
        """What is published; None: nothing is.

        Raises:
            Unavailable: the manifest is there, and can't be read.
        """
        return _read(self.folder / "current.json", Manifest)

    def body(self, about: About) -> bytes:
        """A version's bytes, exactly as they were added.

        Raises:
            Unavailable: they are gone, or are others now: never are they given for what they are not.
        """
        path = self.folder / about.file
        try:
            body = path.read_bytes()
        except FileNotFoundError:
            raise Unavailable(
                f"{path} is gone: version {about.number} can't be read.", next="Restore it, or publish another one."
            ) from None
        except OSError as error:
            raise _unreadable(path, error) from error
        if digest_of(body) != about.digest:
            raise Unavailable(
                f"{path} is damaged: it is not the bytes of version {about.number} ({about.digest[:19]}…).",
                next="Restore it, or publish another version.",
            )
        return body

    def sound(self, number: int, digest: str) -> str:
        """Empty where version `number` is there with these bytes; else what is wrong with it."""
        try:
            about = self.about(number)
            if about is None or about.digest != digest:
                return f"there is no version {number} with the bytes {digest[:19]}…"
            self.body(about)
        except Unavailable as error:
            return error.message.rstrip(".")
        return ""

    # Writing.

    def keep(self, number: int, body: bytes, created: datetime, release: str) -> About:
        """A version's bytes; where they had been lost or damaged they are put right, and what is known about it stays as it was."""
        known = self.about(number)
        about = known or About(
            number,
            digest_of(body),
            len(body),
            f"versions/{number:06d}.{_suffix(body)}",
            created.isoformat(timespec="milliseconds"),
            release,
        )
        put(self.folder / about.file, body)
        if known is None:
            put(self.folder / "about" / f"{number:06d}.json", _json(about))
        return about

    def publish(self, manifest: Manifest) -> None:
        """From now on clients read this."""
        put(self.folder / "current.json", _json(manifest))

    def sweep(self) -> None:
        """Take away what somebody was writing beside who was killed then."""
        for folder in (self.folder, self.folder / "versions", self.folder / "about"):
            for path in folder.glob(".*.new"):
                path.unlink(missing_ok=True)


def manifest_of(
    document: str, about: About, before: About | None, share: int, *, publication: int, seed: int, since: datetime, fence: int, release: str
) -> Manifest:
    """The manifest that publishes a version to `share` of the clients, while the others read `before`."""
    manifest = Manifest(
        document,
        publication,
        seed,
        about.number,
        about.digest,
        about.size,
        about.file,
        share,
        since.isoformat(timespec="milliseconds"),
        fence,
        release,
    )
    if before is None or share == WHOLE:
        return manifest
    told = {"before": before.number, "before_digest": before.digest, "before_size": before.size, "before_file": before.file}
    return Manifest(**{**asdict(manifest), **told})


def put(path: Path, body: bytes) -> None:
    """A file with these bytes, whole and on the disk, or as it was before."""
    if not path.parent.exists():
        private(path.parent)
        _sync(path.parent.parent)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """A name in a folder is on the disk only once the folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _suffix(body: bytes) -> str:
    """What people's editors make of it; nobody decides by it what it is, but our own client, which reads JSON only."""
    try:
        json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return "yaml"
    return "json"


def _json(value: About | Manifest) -> bytes:
    return (json.dumps(asdict(value), indent=1) + "\n").encode()


def _read(path: Path, kind: type[_T]) -> _T | None:
    try:
        body = json.loads(path.read_bytes())
        return _made(body, kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, TypeError, KeyError) as error:
        raise Unavailable(f"{path} is damaged: it can't be read as what was written there.", next="Restore it from a backup.") from error


def _made(body: Mapping[str, Any], kind: type[_T]) -> _T:
    made = kind(**body)
    for name, value in asdict(made).items():  # type: ignore[call-overload]
        none_published_before = name == "before" and value is None
        if type(value) is not (int if name in _NUMBERS else str) and not none_published_before:
            raise TypeError(name)
    return made


_NUMBERS = {"number", "size", "publication", "seed", "version", "share", "fence", "before", "before_size", "schema"}


def _unreadable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"{path} can't be read: {error.strerror}.", next="Make it yours to read.")


def missing(document: str, number: int) -> NotFound:
    """What is told of a version that there is not."""
    return NotFound(f"There is no version {number} of config {document} here.", next="mlconsole config show tells which there are.")
