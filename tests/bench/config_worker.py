"""The processes of `config_polling`: who publishes and is killed, who polls, and who writes a file in place, to compare with.

`python -m tests.bench.config_worker publish FOLDER CHANGES KILLS | read FOLDER CLIENT | plain FILE CHANGES`
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.house import ROOT

from mlconsole.core.clock import SystemClock
from mlconsole.core.documents import WHOLE, Document, digest_of
from mlconsole.core.live import Transition
from mlconsole.plugin import Context
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.plugin.roles import Order
from mlconsole_local.configstore import LocalConfigStore

DOCUMENT = "models"
_CLIENT = ROOT / "sample_workspace" / "client" / "configclient.py"
_LIVES = 0.1
"""Seconds that a publisher lives at most before it is killed."""
_LONGEST = 120.0


def store_in(folder: Path) -> LocalConfigStore:
    """The store, as the engine gets it."""
    return LocalConfigStore(Context("bench", folder, folder, {}, SystemClock()))


def body_of(number: int, *, last: bool = False) -> bytes:
    """Version `number`: it says which it is, and whether it is whole. Up to 60 KB, so that a write in place would be seen half done."""
    filler = random.Random(number).randbytes(random.Random(-number).randrange(100, 30_000)).hex()
    value = {"version": number, "last": last, "filler": filler, "sum": hashlib.sha256(filler.encode()).hexdigest()}
    return json.dumps(value).encode()


def wrong_with(body: bytes, version: int | None = None) -> str:
    """What is wrong with bytes that a client took for a version; empty: nothing."""
    try:
        value = json.loads(body)
    except ValueError as error:
        return f"{len(body)} bytes that do not parse: {error}"
    if hashlib.sha256(value["filler"].encode()).hexdigest() != value["sum"]:
        return f"version {value['version']} in part"
    return "" if version in (None, value["version"]) else f"version {value['version']} in place of {version}"


class Publisher:
    """Publishes, grows and reverts through the store's own role, each time from what it reports. Every change is a line of the log."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._store, self._dice, self._fence = folder, store_in(folder), random.Random(seed), seed
        self._log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._write("born")

    def change(self, *, last: bool = False) -> None:
        """One change: a new version for all or for some, more clients for it, or back to an earlier one."""
        live = self._store.report(DOCUMENT).document
        target, bodies = self._wanted(live.version, live.latest, live, last=last)
        (step,) = self._store.steps(live, target)
        began = time.monotonic()
        self._write("begin")
        self._store.start(DOCUMENT, step, Order(self._fence, "bench", {}, bodies))
        took = time.monotonic() - began
        told = json.loads((self._folder / "config" / DOCUMENT / "current.json").read_bytes())
        self._write("done", told["publication"], time.monotonic_ns(), told["version"], told["before"], took)

    def _wanted(self, version: int | None, latest: int, live: Any, *, last: bool) -> tuple[Document, dict[str, bytes]]:
        kind = "new" if last or version is None else self._dice.choice(("new", "new", "grow", "grow", "back"))
        if kind == "grow" and live.share < WHOLE:
            return Document(DOCUMENT, live.version, live.digest, min(WHOLE, live.share + 3000), live.before, live.before_digest), {}
        if kind == "back" and latest > 3:
            number = self._dice.choice([one for one in range(max(1, latest - 5), latest) if one != version])
            return Document(DOCUMENT, number, digest_of(body_of(number))), {}
        body = body_of(latest + 1, last=last)
        wanted = Document(DOCUMENT, latest + 1, digest_of(body))
        if kind == "grow":
            wanted = Document(DOCUMENT, latest + 1, digest_of(body), 2000, live.version, live.digest)
        return wanted, {wanted.digest: body}

    def _write(self, *words: Any) -> None:
        os.write(self._log, (json.dumps(words) + "\n").encode())


def publish(folder: Path, changes: int, kills: int) -> None:
    """Let publishers live for a moment and kill them, each a fork of this process; then one goes on to the end."""
    Publisher(folder, 1).change()
    _say("ready")
    sys.stdin.readline()
    dice, within, broken = random.Random(0), [], []
    for turn in range(kills):
        child = os.fork()
        if not child:
            publisher = Publisher(folder, turn + 2)
            while True:
                publisher.change()
        time.sleep(dice.uniform(0.0, _LIVES))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        within.append(_lines(folder)[-1][0] == "begin")
        broken += [f"after kill {turn + 1}: {text}" for text in _broken(folder)]
    publisher = Publisher(folder, kills + 2)
    while len(_done(folder)) < changes - 1:
        publisher.change()
    publisher.change(last=True)
    done = _done(folder)
    told = {
        "published": {str(publication): [at, version, before] for _, publication, at, version, before, _ in done},
        "took": [line[-1] for line in done],
        "killed_within": within,
        "broken": broken,
        "latest": store_in(folder).report(DOCUMENT).document.latest,
    }
    print(json.dumps(told))


def _lines(folder: Path) -> list[list[Any]]:
    return [json.loads(line) for line in (folder / "log").read_bytes().splitlines()]


def _done(folder: Path) -> list[list[Any]]:
    return [line for line in _lines(folder) if line[0] == "done"]


def _broken(folder: Path) -> list[str]:
    """What somebody finds who comes after a kill."""
    store = store_in(folder)
    try:
        report = store.report(DOCUMENT)
        live = report.document
        if report.transition is not Transition.SETTLED or live.version is None:
            return [report.reason or "nothing is published"]
        numbers = [one.number for one in store.versions(DOCUMENT, limit=10_000)]
        found = [] if numbers == list(range(live.latest, 0, -1)) else [f"versions {numbers}"]
        read = [number for number in (live.version, live.before, live.latest) if number is not None]
        return found + [wrong for number in read if (wrong := wrong_with(store.read(DOCUMENT, number), number))]
    except MLConsoleError as error:
        return [str(error)]


def read(folder: Path, name: str) -> None:
    """Poll without a pause until the last version has come; what was seen, and what of it was wrong."""
    spec = importlib.util.spec_from_file_location("configclient", _CLIENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["configclient"] = module
    spec.loader.exec_module(module)
    client = module.ConfigClient(folder / "config", DOCUMENT, client=name, interval=0.0)
    client.get()
    _say("ready")
    seen: list[tuple[int, int, int]] = []
    wrong: list[str] = []
    looks, ending = 0, time.monotonic() + _LONGEST
    while not client.config.value["last"] and time.monotonic() < ending:
        looks += 1
        changed = client.look()
        if client.problem:
            wrong.append(client.problem)
        if changed:
            config = client.config
            seen.append((config.publication, config.version, time.monotonic_ns()))
            if problem := wrong_with(config.body, config.version):
                wrong.append(problem)
    print(json.dumps({"seen": seen, "wrong": wrong, "looks": looks, "reached_the_end": bool(client.config.value["last"])}))


def plain(path: Path, changes: int) -> None:
    """Writes a file in place, as a script would, under a reader that parses what it finds."""
    path.write_bytes(body_of(1))
    child = os.fork()
    if not child:
        for number in range(2, changes + 1):
            path.write_bytes(body_of(number))
            time.sleep(0.001)
        path.write_bytes(body_of(changes + 1, last=True))
        os._exit(0)
    looks = torn = 0
    while True:
        body = path.read_bytes()
        looks += 1
        if wrong_with(body):
            torn += 1
        elif json.loads(body)["last"]:
            break
    os.waitpid(child, 0)
    print(json.dumps({"looks": looks, "torn": torn, "changes": changes}))


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    """One of the three."""
    what, folder, *more = sys.argv[1:]
    if what == "publish":
        publish(Path(folder), int(more[0]), int(more[1]))
    elif what == "read":
        read(Path(folder), more[0])
    else:
        plain(Path(folder), int(more[0]))


if __name__ == "__main__":
    main()
