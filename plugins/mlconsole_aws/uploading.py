"""Artifacts of this machine as S3 has them: one model.tar.gz for each digest, made so that the same bytes give the same archive.

A large one takes longer than a call may. So it goes in a thread of its own, and whoever asks meanwhile is told how far it is.
"""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import IO, Any

from mlconsole.core.models import ModelVersion
from mlconsole.plugin.artifacts import measure
from mlconsole.plugin.errors import BackendError, InvalidFile, NotFound, Refused, Unavailable
from mlconsole_aws.clients import Clients
from mlconsole_aws.errors import translated

_PATIENCE = 15.0
"""Seconds that a call waits for an upload before it says that it goes on."""
_ARCHIVES = (".tar.gz", ".tgz")


class Uploads:
    """What is on its way to S3 in this process."""

    def __init__(self, clients: Clients, root: Path) -> None:
        self._clients, self._root = clients, root
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Future[None], list[int]]] = {}

    def check(self, version: ModelVersion, options: Mapping[str, Any]) -> None:
        """See that the artifact is there and is what was registered, before anything is made.

        Raises:
            Refused: it is not, or nobody said where artifacts of this machine go.
        """
        location = version.artifact.location
        if location.startswith("s3://"):
            self._there(location, version)
            return
        if "://" in location:
            raise Refused(f"The artifact of {version.name} lies at {location}, from where SageMaker can't read.", next="Put it into S3.")
        self._source(version)
        if not options.get("bucket"):
            raise Refused(
                f"The artifact of {version.name} lies on this machine, and nobody said into which bucket it goes. Nothing was changed.",
                next="Say bucket: under options → aws → sagemaker.",
            )

    def data(self, version: ModelVersion, options: Mapping[str, Any]) -> str:
        """Where SageMaker reads the artifact; put there, if it lies on this machine and is not in S3 yet.

        Raises:
            Unavailable: it is still on its way.
            Refused: it is not what was registered.
        """
        location = version.artifact.location
        if location.startswith("s3://"):
            return location
        bucket, digest = str(options["bucket"]).removeprefix("s3://").strip("/"), version.artifact.digest.removeprefix("sha256:")
        bucket, _, inside = bucket.partition("/")
        key = "/".join(
            part for part in (inside, str(options.get("prefix", "mlconsole")).strip("/"), "sha256", digest, "model.tar.gz") if part
        )
        if not self._exists(bucket, key):
            self._put(version, bucket, key)
        return f"s3://{bucket}/{key}"

    def _there(self, location: str, version: ModelVersion) -> None:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        try:
            found = self._exists(bucket, key)
        except Refused:
            return  # we may not look; the endpoint's role may
        if not found and not location.endswith("/"):
            raise Refused(f"There is no artifact of {version.name} at {location}. Nothing was changed.", next="Look: mlconsole models show")

    def _exists(self, bucket: str, key: str) -> bool:
        try:
            self._clients.call("s3", "head_object", Bucket=bucket, Key=key)
        except NotFound:
            return False
        return True

    def _source(self, version: ModelVersion) -> Path:
        source = self._root / version.artifact.location.removeprefix("file://")
        try:
            found = measure(source).digest
        except InvalidFile as error:
            raise Refused(
                f"{error.message.rstrip('.')}, so {version.name} can't be served. Nothing was changed.", next=error.next
            ) from error
        if found != version.artifact.digest:
            raise Refused(
                f"ALARM: the artifact at {source} is not the bytes that were registered ({version.artifact.digest[:19]}…). "
                "Nothing was changed.",
                next="Restore the file, or register the new bytes as a new version.",
            )
        return source

    def _put(self, version: ModelVersion, bucket: str, key: str) -> None:
        name = f"{bucket}/{key}"
        with self._lock:
            if name not in self._running:
                sent = [0]
                future: Future[None] = Future()
                self._running[name] = future, sent
                thread = threading.Thread(target=self._send, args=(version, bucket, key, future, sent), name="upload", daemon=True)
                thread.start()
            future, sent = self._running[name]
        wait([future], timeout=_PATIENCE)
        if not future.done():
            told = f"{sent[0] / 1e6:.0f} MB of about {version.artifact.size / 1e6:.0f} MB so far"
            raise Unavailable(f"The artifact of {version.name} is on its way to s3://{bucket}: {told}.", next="It is waited for.")
        with self._lock:
            self._running.pop(name, None)
        future.result()

    def _send(self, version: ModelVersion, bucket: str, key: str, future: Future[None], sent: list[int]) -> None:
        try:
            source = self._source(version)
            with tempfile.TemporaryFile() as file:
                pack(source, file)
                file.seek(0)
                self._upload(file, bucket, key, sent)
            future.set_result(None)
        except BackendError as error:
            future.set_exception(error)
        except OSError as error:
            future.set_exception(Refused(f"The artifact of {version.name} can't be packed: {error.strerror}.", next="Free some space."))
        except Exception as error:  # noqa: BLE001 - told to whoever waits for it
            future.set_exception(error)

    def _upload(self, file: IO[bytes], bucket: str, key: str, sent: list[int]) -> None:
        def count(size: int) -> None:
            sent[0] += size

        client = self._clients.client("s3")
        try:
            # In parts, of which each is sent again by itself where it fails. What is not whole is nowhere.
            client.upload_fileobj(file, bucket, key, Callback=count)
        except Exception as error:
            cause = error.__cause__ or error.__context__
            raise translated(cause if isinstance(cause, Exception) else error, f"put object {bucket}/{key}", change=False) from error


def pack(source: Path, file: IO[bytes]) -> None:
    """A file or a folder as a gzipped tar: sorted, without times and owners, so that the same bytes are the same archive. A single ONNX
    file is called model.onnx in it; an archive is taken as it is."""
    if source.is_file() and source.name.endswith(_ARCHIVES):
        with source.open("rb") as found:
            shutil.copyfileobj(found, file)
        return
    if source.is_dir():
        inside = sorted((path.relative_to(source).as_posix(), path) for path in source.rglob("*") if path.is_file())
    else:
        inside = [("model.onnx" if source.suffix == ".onnx" else source.name, source)]
    with (
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in inside:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as found:
                archive.addfile(entry, found)
