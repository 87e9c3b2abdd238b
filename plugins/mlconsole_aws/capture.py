"""Predictions from SageMaker's data capture: JSON lines in S3, below `PREFIX/ENDPOINT/VARIANT/yyyy/mm/dd/hh/`.

What is captured is a sample, comes late, and leaves out what failed, as far as anybody knows: counts and errors are CloudWatch's, inputs
and outputs are read here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mlconsole.plugin import Context
from mlconsole.plugin.errors import BackendError, Conflict, InvalidRequest, NotFound, Refused, UsageError
from mlconsole.plugin.roles import Coverage, Observation, Page
from mlconsole_aws.capture_cursor import Cursor, File, Part, hour_of, time_of
from mlconsole_aws.capture_lines import Garbage, Stream, observed
from mlconsole_aws.capture_streams import Streams
from mlconsole_aws.capture_words import coverage
from mlconsole_aws.clients import AT_ONCE, clients_of
from mlconsole_aws.errors import translated

_AGAIN = 30.0
"""Seconds between two looks for new files; they come minutes late anyhow."""
_QUIET = 600.0
"""Seconds at most between two looks into a folder in which nothing new was found for an hour."""
_MOST_FILES = 2000
"""New files of one folder that are looked through at a time."""
_BUDGET = 12.0
"""Seconds after which a page ends, whatever it has: the engine's deadline is longer."""
_AHEAD = timedelta(hours=1)
"""What is further in the future is nonsense; it would make everything that comes after it look old."""
_MOST_CHAINS = 4
"""So many who read at the same time, each from a cursor of its own, are remembered."""
_CHUNK = 1 << 18
_LONGEST = 32 << 20
"""Bytes of a line; one that is longer is no captured prediction."""
_UNLISTED = sys.maxsize
"""The size of a file that was begun and is not listed any more."""


@dataclass
class _Chain:
    """One who reads, from page to page: what was found for the cursor that the last page ended with."""

    at: float = -_AGAIN
    """When new files were looked for (elapsed)."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    files: list[File] = field(default_factory=list)
    """New ones, oldest first."""
    horizon: datetime | None = None
    """What is younger may not be listed wholly."""
    quiet: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Folder → since when nothing new was in it, and when it was last looked into (elapsed)."""


class CapturedPredictions:
    """Reads the captured data of one environment."""

    def __init__(self, context: Context) -> None:
        self._context, self._clients = context, clients_of(context)
        self._bucket, self._prefix = _place(str(self._clients.section("sagemaker").get("capture") or ""), context.environment)
        self._streams = Streams(context, self._clients, self._bucket, self._prefix)
        self._reading = threading.Lock()
        self._chains: dict[str, _Chain] = {}
        """By the cursor that each goes on from: another one's cursor may lack what we have seen."""
        self._closed: dict[tuple[str, str], tuple[float, str]] = {}
        """File → since when it can't be read, and why: tried again after a while, and not lost."""

    def cursor_at(self, time: datetime) -> str:
        """A cursor behind which every observation at or after `time` lies."""
        return Cursor.at(time).text()

    def read(self, cursor: str, limit: int = 10_000) -> Page:
        """The next observations, of at most `limit` lines, each exactly once along the cursor.

        Raises:
            InvalidRequest: the cursor is none of ours.
            BackendError: AWS does not answer, or does not let us look; nothing is lost.
        """
        state = Cursor.of(cursor)
        with self._reading:
            streams = self._streams.all()
            chain = self._chains.setdefault(cursor, _Chain())
            self._look(chain, state, streams)
            found, reached, left = self._through(chain, state, streams, max(1, limit))
            at_end = not left and chain.horizon is None
            if left and reached is not None:
                state.close_before(min(reached, chain.now))
            elif not left:
                state.close_before(chain.horizon or chain.now)
            state.capturing = self._streams.capturing()
            end = state.text()
            # Only now, when nothing can fail any more: whoever gets no page asks again with the same cursor.
            self._chains.pop(cursor, None)
            chain.files = left
            if not left and not at_end:
                chain.at = -_AGAIN  # there is more behind what was listed
            self._chains[end] = chain
            for old in list(self._chains)[:-_MOST_CHAINS]:
                del self._chains[old]
        return Page([one for one in found if one.time.timestamp() >= state.since], end, at_end)

    def coverage(self, cursor: str) -> Coverage:
        """How much is captured, how late it comes, where nothing was, what could not be read; asks nobody."""
        now = self._context.clock.elapsed()
        closed = [why for since, why in self._closed.values() if now - since < _QUIET]
        return coverage(Cursor.of(cursor), closed)

    def _through(
        self, chain: _Chain, state: Cursor, streams: Mapping[str, Stream], most: int
    ) -> tuple[list[Observation], datetime | None, list[File]]:
        """Read the listed files until `most` lines are read or the time is up: what was found, up to when all of them were read, and which
        are left."""
        began = self._context.clock.elapsed()
        left = [file for file in chain.files if file.stream in streams]
        found: list[Observation] = []
        reached: datetime | None = None
        lines = 0
        while left and lines < most and self._context.clock.elapsed() - began < _BUDGET:
            file = left[0]
            begun = state.part is not None and state.part[:2] == file[:2]
            try:
                for raw, end in self._lines(file, state):
                    lines += 1
                    self._take(file, raw, streams[file.stream], state, found, chain.now + _AHEAD)
                    state.part = Part(file.stream, file.key, file.etag, end)
                    if lines >= most or self._context.clock.elapsed() - began >= _BUDGET:
                        return found, reached, left
                state.add(file)
            except (NotFound, Conflict):
                state.lost += 1
                state.add(file)
            except BackendError as error:
                denied = isinstance(error, Refused | InvalidRequest)
                if denied and not begun:
                    self._closed[file.stream, file.key] = self._context.clock.elapsed(), error.message
                elif denied and file.size == _UNLISTED:
                    state.lost += 1
                    state.add(file)
                elif lines or reached is not None:
                    break  # What was read is told first; the next look meets the same trouble, and says so.
                else:
                    raise
            del left[0]
            reached = file.time
        return found, reached, left

    # Which files there are.

    def _look(self, chain: _Chain, state: Cursor, streams: Mapping[str, Stream]) -> None:
        """See which files are new, if it is time for that."""
        elapsed = self._context.clock.elapsed()
        if chain.files or elapsed - chain.at < _AGAIN:
            return
        self._closed = {file: (since, why) for file, (since, why) in self._closed.items() if elapsed - since < _QUIET}
        now = self._context.clock.now().astimezone(UTC)
        files: list[File] = []
        horizon: datetime | None = None
        due = [stream for stream in streams if stream not in chain.quiet or elapsed - chain.quiet[stream][1] >= self._rest(chain, stream)]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="captured") as pool:
            listed = pool.map(lambda stream: self._unread(stream, state, now), due)
            looked = dict(zip(due, listed, strict=True))
        for stream, (mine, newest, more) in looked.items():
            if more and mine:
                horizon = mine[-1].time if horizon is None else min(horizon, mine[-1].time)
            files += mine
            if not mine and (newest is None or newest < now - _AHEAD):
                chain.quiet[stream] = chain.quiet.get(stream, (elapsed, elapsed))[0], elapsed
            else:
                chain.quiet.pop(stream, None)
        files.sort(key=lambda one: (one.time, one.stream, one.key))
        begun = _begun(files, state, streams, now)
        files = [one for one in files if (begun is None or one[:2] != begun[:2]) and (horizon is None or one.time <= horizon)]
        chain.files = [begun, *files] if begun is not None else files
        chain.at, chain.now, chain.horizon = elapsed, now, horizon

    def _rest(self, chain: _Chain, stream: str) -> float:
        """Seconds until a quiet folder is looked into again: the longer, the longer it has been quiet. That of a variant released a
        moment ago is empty at first, and a rollout waits for what comes."""
        since, last = chain.quiet[stream]
        return _QUIET if self._context.released is None else min(_QUIET, max(_AGAIN, last - since))

    def _unread(self, stream: str, state: Cursor, now: datetime) -> tuple[list[File], datetime | None, bool]:
        """The files of a folder that have not been read, oldest first; when the newest of all is of; whether there are more."""
        start = f"{self._prefix}{stream}/"
        found: list[File] = []
        newest: datetime | None = None
        pages = self._clients.pages(
            "s3",
            "list_objects_v2",
            "Contents",
            token="NextContinuationToken",
            Bucket=self._bucket,
            Prefix=start,
            StartAfter=f"{start}{state.floor}",
        )
        for one in pages:
            key = str(one["Key"])[len(start) :]
            time = time_of(key)
            if time is None or time > now + _AHEAD:
                continue
            newest = time
            file = File(stream, key, time, str(one.get("ETag", "")), int(one.get("Size", 0)), one.get("LastModified") or now)
            if state.has(file) or (stream, key) in self._closed:
                continue
            if len(found) >= _MOST_FILES:
                return found, newest, True
            found.append(file)
        return found, newest, False

    # What is in them.

    def _take(self, file: File, raw: bytes | None, stream: Stream, state: Cursor, found: list[Observation], latest: datetime) -> None:
        """One line: an observation, or one more that could not be understood."""
        try:
            if raw is None:
                raise Garbage("far too long")
            one = observed(raw, stream, latest)
        except Garbage:
            state.garbage += 1
            return
        found.append(one)
        if not one.probe and hour_of(one.time) >= state.floor:
            state.saw(file.stream, one.time)
            came = min(file.modified, latest - _AHEAD)
            state.late[file.hour] = max(state.late.get(file.hour, 0), int((came - one.time).total_seconds()))

    def _lines(self, file: File, state: Cursor) -> Iterator[tuple[bytes | None, int]]:
        """Each line from where the file was left, and the place behind it; None for one that is far too long. The last one may lack its
        end: files never grow."""
        part = state.part if state.part is not None and state.part[:2] == file[:2] else None
        offset = part.offset if part is not None else 0
        if offset >= file.size:
            return
        wanted: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
        if file.etag:
            wanted["IfMatch"] = file.etag
        body = self._clients.call("s3", "get_object", Bucket=self._bucket, Key=f"{self._prefix}{file.stream}/{file.key}", **wanted)["Body"]
        try:
            yield from _split(body.iter_chunks(_CHUNK), offset)
        except Exception as error:
            raise translated(error, f"reading captured data {file.stream}/{file.key}", change=False) from error
        finally:
            body.close()


def _begun(files: list[File], state: Cursor, streams: Mapping[str, Stream], now: datetime) -> File | None:
    """The file that was begun, which is read on first. One that is not listed any more is asked for all the same: it may be gone, or its
    hour closed."""
    part = state.part
    if part is None:
        return None
    if part.stream not in streams:
        state.part, state.lost = None, state.lost + 1
        return None
    found = next((one for one in files if one[:2] == part[:2]), None)
    if found is None or found.etag != part.etag:  # S3 says itself that it is another one
        return File(part.stream, part.key, time_of(part.key) or now, part.etag, _UNLISTED, now)
    return found


def _split(chunks: Iterable[bytes], at: int) -> Iterator[tuple[bytes | None, int]]:
    rest, skipping = b"", False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for raw in whole:
            at += len(raw) + 1
            if raw.strip() or skipping:
                yield None if skipping else raw, at
            skipping = False
        if len(rest) > _LONGEST:
            at, rest, skipping = at + len(rest), b"", True
    if rest.strip() or skipping:
        yield None if skipping else rest, at + len(rest)


def _place(uri: str, environment: str) -> tuple[str, str]:
    """Bucket and prefix, which ends with a slash if there is one.

    Raises:
        UsageError: none is named.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise UsageError(
            f"Where data are captured in {environment} is not said{f': {uri} is no s3://BUCKET/PREFIX' if uri else ''}.",
            next="Write it in mlconsole.yaml: options → aws → sagemaker → capture: s3://BUCKET/PREFIX.",
        )
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""
