"""Checks of the team's own: a program of the workspace, or a function of an installed plugin, that says what it finds in a config document.

A program gets the document on its standard input, byte for byte, and prints JSON: a list of findings, or an object that has one under
`findings`.

    [{"severity": "stop", "text": "pl is below its floor", "pointer": "/relevance/pl/threshold", "rule": "floor"}]

`severity` is `stop`, `look` or `ok`, `text` says it, the others (`line` is one, too) may be left out. It ends with 0, or with 1 where it
prints findings; nothing printed is nothing found. It runs in the workspace's folder, never through a shell, once somebody has trusted the
workspace. Its environment says which document it is (`MLCONSOLE_DOCUMENT`, `MLCONSOLE_FORMAT`), where, and of which workspace
(`MLCONSOLE_ENV`, `MLCONSOLE_WORKSPACE`).

A function is called with the document's value and an `About`, and returns findings: those of `core.findings`, or mappings as above. It has
to be defined in a package that brings an installed plugin: a workspace brings no code but what somebody trusted.

Whatever goes wrong with a check is a finding that stops, for nobody knows what it would have said.
"""

from __future__ import annotations

import copy
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlconsole.core.findings import Finding, Severity
from mlconsole.core.models import Json
from mlconsole.core.text import duration, is_name, neutralise
from mlconsole.plugin.errors import MLConsoleError

if TYPE_CHECKING:
    from mlconsole.documents import Reading
    from mlconsole.engine.session import Session
    from mlconsole.workspace.configs import ConfigSettings, ValidatorSettings

RULE = "own"
"""The rule of a finding that names none."""

_MOST_BYTES = 1_000_000
_MOST = 200
"""So many findings are told of one check."""
_LONGEST = 500
_TAIL = 4_096
_GRACE = 1.0
"""Seconds after its end in which what it said is read: a process that it left behind may hold the pipe."""
_PYTHON = "{python}"

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|KEY|WEBHOOK|URL|CREDENTIAL|AUTH", re.IGNORECASE)


@dataclass(frozen=True)
class About:
    """What a function is told beside the document's value."""

    document: str
    environment: str
    format: str
    text: str
    """The document as it is written."""
    root: Path
    """The workspace's folder."""


class _Failed(Exception):
    """A check that could not be made, and why."""


def own_findings(
    session: Session, validator: ValidatorSettings, config: ConfigSettings, body: bytes, reading: Reading
) -> tuple[Finding, ...]:
    """What one check says of a document; that it could not be made is a finding too. Nothing found is one that is well."""
    name = _named(validator)
    try:
        if validator.run is not None:
            found = _checked(_by_command(session, validator, config, body), name)
        else:
            about = About(config.name, session.environment.name, str(reading.format), reading.text, session.workspace.root)
            found = _checked(_by_call(validator, reading.value, about), name)
    except _Failed as failure:
        return (_stop(f"{name} {failure}"),)
    except MLConsoleError as error:
        return (_stop(f"{name} was not run: {neutralise(str(error))}"),)
    return found or (Finding(Severity.OK, RULE, name),)


def _by_command(session: Session, validator: ValidatorSettings, config: ConfigSettings, body: bytes) -> Json:
    from mlconsole.engine.trusting import require_trust
    from mlconsole.workspace.trust import validator_told

    require_trust(session, validator_told(validator, config))
    root = session.workspace.root
    words = [part.replace(_PYTHON, sys.executable) for part in validator.run or ()]
    if "/" in words[0] and (root / words[0]).is_file():
        words[0] = str(root / words[0])
    environment = {
        **os.environ,
        # `python` and `mlconsole` are those that run this, wherever it is installed.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MLCONSOLE_WORKSPACE": str(root),
        "MLCONSOLE_ENV": session.environment.name,
        "MLCONSOLE_DOCUMENT": config.name,
        "MLCONSOLE_FORMAT": str(config.format),
    }
    code, out, err = _run(words, environment, root, body, validator.time_limit)
    said = _last_line(err)
    if code not in (0, 1):
        how = f"was ended by signal {-code}" if code < 0 else f"failed with code {code}"
        raise _Failed(f"{how}{f': {said}' if said else ''}")
    if len(out) > _MOST_BYTES:
        raise _Failed(f"printed more than {_MOST_BYTES // 1000} kB")
    if not out.strip():
        if code:
            raise _Failed(f"failed with code 1, and printed no findings{f': {said}' if said else ''}")
        return []
    try:
        found = json.loads(out)
    except (ValueError, RecursionError):
        raise _Failed(f'printed no JSON, but "{_short(out.decode("utf-8", "replace"), 60)}"') from None
    if code and not _listed(found):
        raise _Failed(f"failed with code 1, and printed no findings{f': {said}' if said else ''}")
    return found


def _run(words: list[str], environment: Mapping[str, str], root: Path, body: bytes, limit: float) -> tuple[int, bytes, bytes]:
    """Run a program in a group of its own, which the time limit ends as a whole; its code, what it printed, the end of what it said."""
    with tempfile.TemporaryFile() as document:
        # A file and no pipe: a program that does not read its input must not stop us.
        document.write(body)
        document.seek(0)
        try:
            process = subprocess.Popen(
                words,
                cwd=root,
                env=environment,
                stdin=document,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "a NUL character in it"
            raise _Failed(f"can't be run: {neutralise(words[0])}: {reason}") from None
    out, err = bytearray(), bytearray()
    readers = [
        threading.Thread(target=_drain, args=(process.stdout, out, _MOST_BYTES + 1, True), daemon=True),
        threading.Thread(target=_drain, args=(process.stderr, err, _TAIL, False), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        # Its whole group: what it started waits for the same thing.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise _Failed(f"took longer than its time limit of {duration(limit)} and was stopped") from None
    for reader in readers:
        reader.join(_GRACE)
    return code, bytes(out), bytes(err)


def _drain(stream: IO[bytes], kept: bytearray, most: int, beginning: bool) -> None:
    """Read all that is said and keep its beginning, or its end: a program must never wait for its reader."""
    with stream, suppress(OSError):
        while data := os.read(stream.fileno(), 65_536):
            kept += data[: most - len(kept)] if beginning else data
            if not beginning:
                del kept[:-most]


def _by_call(validator: ValidatorSettings, value: Json, about: About) -> Json:
    answer: list[Json] = []
    problem: list[BaseException] = []

    def ask() -> None:
        try:
            # A copy: what a check does to its document is its own business. Importing it may take for ever, too.
            found = _function(validator.call or "")(copy.deepcopy(value), about)
            answer.append([] if found is None else list(found) if _several(found) else found)
        except BaseException as error:  # noqa: BLE001 - a stranger's code: whatever it raises is told as its failure
            problem.append(error)

    asked = threading.Thread(target=ask, daemon=True, name=f"validator {validator.name}")
    asked.start()
    asked.join(validator.time_limit)
    if problem and isinstance(problem[0], _Failed):
        raise problem[0]
    if problem:
        raise _Failed(f"failed: {type(problem[0]).__name__}: {_short(str(problem[0]))}")
    if not answer:
        raise _Failed(f"took longer than its time limit of {duration(validator.time_limit)} and is not waited for")
    return answer[0]


def _several(found: object) -> bool:
    return isinstance(found, Iterable) and not isinstance(found, str | bytes | Mapping)


def _function(target: str) -> Callable[[Json, About], Any]:
    """The function of that name, if it is one that may be called.

    Raises:
        _Failed: it is not, or there is none.
    """
    module, _, name = target.partition(":")
    package = module.partition(".")[0]
    if not module or not name:
        raise _Failed("names no function: package.module:function is wanted")
    if package not in _plugin_packages():
        raise _Failed(f"is not called: no installed plugin brings the package {neutralise(package)}")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
        raise _Failed(f"can't be imported: {type(error).__name__}: {_short(str(error))}") from None
    if found is None:
        raise _Failed(f"is not there: {neutralise(module)} has no {neutralise(name)}")
    # What a module only imported (`from subprocess import run`) is no check of that package.
    if not callable(found) or str(getattr(found, "__module__", "")).partition(".")[0] != package:
        raise _Failed(f"is no function of {neutralise(package)}")
    return found  # type: ignore[no-any-return]


def _plugin_packages() -> frozenset[str]:
    """The packages that bring the installed plugins, and never our own: its functions are no checks."""
    from importlib.metadata import entry_points

    from mlconsole.plugin import GROUP

    return frozenset(point.module.partition(".")[0] for point in entry_points(group=GROUP)) - {"mlconsole"}


def _listed(said: Json) -> Json:
    return said.get("findings") if isinstance(said, Mapping) else said


def _checked(said: Json, name: str) -> tuple[Finding, ...]:
    """What a check said, as findings.

    Raises:
        _Failed: it is none.
    """
    listed = _listed(said)
    if not isinstance(listed, list):
        raise _Failed("said no list of findings")
    found = tuple(_finding(one, place) for place, one in enumerate(listed[:_MOST]))
    if len(listed) > _MOST:
        found += (Finding(Severity.LOOK, RULE, f"{name} found {len(listed) - _MOST} more"),)
    return found


def _finding(said: Json, place: int) -> Finding:
    if isinstance(said, Finding):
        said = {"severity": said.severity, "rule": said.rule, "text": said.text, "pointer": said.pointer, "line": said.line}
    if not isinstance(said, Mapping):
        raise _Failed(f"said no finding, as its number {place + 1}: an object with severity and text is wanted")
    severity, text, pointer, line, rule = (said.get(key) for key in ("severity", "text", "pointer", "line", "rule"))
    if severity not in tuple(Severity):
        raise _Failed(
            f'said a finding (its number {place + 1}) with the severity "{_short(str(severity), 40)}": stop, look or ok is wanted'
        )
    if not isinstance(text, str) or not text.strip():
        raise _Failed(f"said a finding (its number {place + 1}) without a text")
    if pointer not in (None, "") and not (isinstance(pointer, str) and pointer.startswith("/")):
        raise _Failed(f'said a finding (its number {place + 1}) at "{_short(str(pointer), 40)}", which is no JSON pointer')
    if line is not None and (isinstance(line, bool) or not isinstance(line, int) or line < 1):
        raise _Failed(f"said a finding (its number {place + 1}) on a line that is no number from 1")
    known = rule if isinstance(rule, str) and is_name(rule) else RULE
    return Finding(Severity(severity), known, _short(_without_secrets(text)), neutralise(pointer or ""), line)


def _stop(text: str) -> Finding:
    return Finding(Severity.STOP, RULE, text)


def _named(validator: ValidatorSettings) -> str:
    """What it is called in a finding: `checks/thresholds.py`, `package.module:function`."""
    if validator.run is None:
        return _short(validator.call or "")
    words = [word for word in validator.run if word != _PYTHON]
    return _short(words[0] if words else "python")


def _last_line(said: bytes) -> str:
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return _short(_without_secrets(lines[-1])) if lines else ""


def _without_secrets(text: str) -> str:
    """Programs like to tell what they were given; what looks like a secret of ours goes no further (invariant 10)."""
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET.search(name):
            text = text.replace(value, "…")
    return text


def _short(text: str, most: int = _LONGEST) -> str:
    told = neutralise(" ".join(text.split()))
    return told if len(told) <= most else f"{told[: most - 1]}…"
