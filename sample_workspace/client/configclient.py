"""Read the configuration that mlconsole publishes. Copy this file into your application: standard library only, Python 3.10 and newer.

    client = ConfigClient(".mlconsole/local/production/config", "models", client="worker-3")
    client.start()                                   # a thread looks once a second; or call client.get() now and then, which looks itself
    threshold = client.get().value["relevance"]["pl"]["threshold"]

What you get is always a whole, valid version: its bytes are compared with their digest, and they have been parsed. When anything is wrong
(the file can't be read, the disk is full, a version is damaged) you keep the last one, and `problem` says why.

While a version grows, a share of the clients reads it. Who is in that share is decided by `client`, a name that has to stay the same from
start to start; left out it is this machine's name, so that all processes of one machine read the same.

To look from a shell: `python configclient.py FOLDER DOCUMENT --watch`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WHOLE = 10_000
"""All clients: shares are hundredths of a percent."""

_FILE = re.compile(r"versions/[0-9]+\.[a-z]+")
_log = logging.getLogger("configclient")


class NothingRead(LookupError):
    """No valid version was ever read: there is nothing to keep."""


class _Problem(Exception):
    """Why what is published can't be used."""


@dataclass(frozen=True)
class Config:
    """One version as it was read."""

    document: str
    value: Any
    """The parsed document. It is shared: don't change it."""
    body: bytes
    version: int
    digest: str
    publication: int
    """Rises with everything that is published."""


OnChange = Callable[[Config, Config | None], object]


class ConfigClient:
    """Reads one document, and keeps what it has read.

    Args:
        folder: where the documents lie, each in a folder of its own.
        document: which one.
        client: who reads, the same name after each start.
        interval: seconds between two looks, also after one that failed.
        parse: makes a value of the bytes; left out, they are JSON. For YAML: `parse=yaml.safe_load`.
        on_change: is told each version that replaces another one, and which that was (None: the first).

    All methods may be called from several threads.
    """

    def __init__(
        self,
        folder: str | Path,
        document: str,
        *,
        client: str = "",
        interval: float = 1.0,
        parse: Callable[[bytes], Any] | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        self._folder = Path(folder) / document
        self._document = document
        self._client = client or socket.gethostname()
        self._interval = interval
        self._parse = parse or _json
        self._on_change = on_change
        self._looking = threading.RLock()
        self._looked: float | None = None
        self._config: Config | None = None
        self._manifest = b""
        self._problem = ""
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def get(self) -> Config:
        """The newest valid version; looks for a newer one when the last look is longer ago than `interval`.

        Raises:
            NothingRead: there never was one; it says why.
        """
        self.look()
        config = self._config
        if config is None:
            raise NothingRead(self._problem)
        return config

    @property
    def value(self) -> Any:
        """`get().value`."""
        return self.get().value

    @property
    def config(self) -> Config | None:
        """What was read last, without looking."""
        return self._config

    @property
    def problem(self) -> str:
        """Why what is published now can't be used, so that an older version is kept; empty when all is well."""
        return self._problem

    def look(self) -> bool:
        """Look, unless the last look is not yet `interval` ago; whether another version or publication was read."""
        with self._looking:
            now = time.monotonic()
            if self._looked is not None and now - self._looked < self._interval:
                return False
            self._looked = now
            try:
                found = self._read()
            except _Problem as problem:
                self._tell(str(problem))
                return False
            except Exception as error:  # noqa: BLE001 - a parser may raise anything, and whatever it is, the last version is kept
                self._tell(f"{type(error).__name__}: {error}")
                return False
            self._tell("")
            return found

    def start(self) -> ConfigClient:
        """Let a thread look from now on; the first look is over when this returns."""
        self.look()
        with self._looking:
            if self._thread is None:
                self._ending.clear()
                self._thread = threading.Thread(target=self._run, name=f"config {self._document}", daemon=True)
                self._thread.start()
        return self

    def close(self) -> None:
        """No more looks; what was read stays."""
        self._ending.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def __enter__(self) -> ConfigClient:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._ending.wait(max(self._interval, 0.001)):
            self.look()

    def _read(self) -> bool:
        raw = self._bytes("current.json")
        if raw == self._manifest:
            return False  # as it was when it was read well
        manifest = json.loads(raw)
        if manifest.get("schema") != 1:
            raise _Problem(f"current.json has the schema {manifest.get('schema')!r}, and this client knows 1: copy a newer one")
        if manifest["document"] != self._document:
            raise _Problem(f"current.json is of {manifest['document']!r}")
        version, digest, file = _chosen(manifest, self._client)
        last = self._config
        if last is not None and (last.version, last.digest) == (version, digest):
            value, body = last.value, last.body
        else:
            body = self._body(file, version, digest)
            value = self._parse(body)
        config = Config(self._document, value, body, version, digest, int(manifest["publication"]))
        if last is not None and config.publication < last.publication:
            _log.warning("%s: publication %s after %s: was its folder restored?", self._document, config.publication, last.publication)
        self._config, self._manifest = config, raw
        if last is None or last.digest != digest or last.version != version:
            self._changed(config, last)
        return True

    def _body(self, file: str, version: int, digest: str) -> bytes:
        if not _FILE.fullmatch(file):
            raise _Problem(f"current.json names the file {file!r}, which is none of its versions")
        if file.endswith(".yaml") and self._parse is _json:
            raise _Problem(f"version {version} is not JSON: this client wants a parser for it (parse=yaml.safe_load)")
        body = self._bytes(file)
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            raise _Problem(f"{file} is damaged: its bytes are not those of version {version}")
        return body

    def _bytes(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise _Problem(f"{self._folder / name} is not there") from None

    def _changed(self, config: Config, last: Config | None) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change(config, last)
        except Exception:  # noqa: BLE001 - the application's own mistake must not end the looking
            _log.exception("%s: on_change failed for version %s", self._document, config.version)

    def _tell(self, problem: str) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        kept = f"version {self._config.version} is kept" if self._config else "nothing was read yet"
        if problem:
            _log.warning("%s: %s; %s", self._document, problem, kept)
        else:
            _log.info("%s: all is well again", self._document)


def bucket(document: str, seed: int, client: str) -> int:
    """Where a client stands among all, 0 to 9999: it reads a version whose share is larger. It stays there while a share grows."""
    digest = hashlib.sha256(f"{document}\n{seed}\n{client}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % WHOLE


def _chosen(manifest: Mapping[str, Any], client: str) -> tuple[int, str, str]:
    """Which version this client reads: number, digest, file."""
    if bucket(manifest["document"], manifest["seed"], client) < manifest["share"]:
        return manifest["version"], manifest["digest"], manifest["file"]
    if manifest["before"] is None:
        raise _Problem("nothing is published for this client yet")
    return manifest["before"], manifest["before_digest"], manifest["before_file"]


def _json(body: bytes) -> Any:
    return json.loads(body.decode("utf-8"))


def main() -> int:
    """Print what is published; with --watch, every change of it."""
    parser = argparse.ArgumentParser(description="Read the configuration that mlconsole publishes.")
    parser.add_argument("folder", help="where the documents lie: .mlconsole/local/ENVIRONMENT/config")
    parser.add_argument("document")
    parser.add_argument("--watch", action="store_true", help="tell every change, until Ctrl-C")
    parser.add_argument("--client", default="", metavar="NAME", help="read as this client would; left out, this machine's name")
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS")
    options = parser.parse_args()
    # A person wants the text, in whatever format it is.
    client = ConfigClient(options.folder, options.document, client=options.client, interval=options.interval, parse=bytes)
    if not options.watch:
        try:
            body = client.get().body
        except NothingRead as why:
            print(why, file=sys.stderr)
            return 1
        sys.stdout.buffer.write(body)
        return 0
    told: tuple[int | None, str] = (None, "")
    try:
        while True:
            client.look()
            config, problem = client.config, client.problem
            now = (config.publication if config else None, problem)
            if now != told:
                told = now
                line = (
                    f"{config.document} {config.version}, publication {config.publication}, {len(config.body)} bytes"
                    if config
                    else "nothing"
                )
                print(time.strftime("%H:%M:%S"), line, f"({problem})" if problem else "", flush=True)
            time.sleep(options.interval)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
