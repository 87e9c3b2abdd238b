"""Documents against their JSON Schema, drafts 4 to 2020-12, in a process of its own: see `schemacheck`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlconsole.core.documents import Format
from mlconsole.core.findings import Finding, Severity, stops
from mlconsole.core.models import Json
from mlconsole.core.pointers import get, join
from mlconsole.core.text import duration, neutralise
from mlconsole.documents.reading import Reading, read

SECONDS = 5.0
MEMORY = 512 * 1024 * 1024
"""Bytes of address space, Python itself included."""

_CHECK = Path(__file__).with_name("schemacheck.py")
_STARTING = 30.0
"""Seconds that a busy machine may take to start Python; they do not count."""

_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


def check_schema(schema: bytes, *, seconds: float = SECONDS, memory: int = MEMORY) -> tuple[Finding, ...]:
    """What is wrong with a schema: it is no JSON, not valid in its draft, or refers to what is not in it. None: it can be used.

    A schema that names no draft is told, and read as 2020-12.
    """
    value, wrong = _schema(schema)
    if wrong:
        return wrong
    found = _asked({"schema": value}, None, read(schema, Format.JSON), seconds, memory)
    if not found and isinstance(value, dict) and "$schema" not in value:
        return (Finding(Severity.LOOK, "schema-draft", "The schema names no draft ($schema): it is read as draft 2020-12."),)
    return found


def validate(reading: Reading, schema: bytes, *, seconds: float = SECONDS, memory: int = MEMORY) -> tuple[Finding, ...]:
    """Where a document is not as its schema wants it, at most 20 findings in the order of the text; one that says OK when it is.

    A schema that can't be used, and a check that takes too long or too much memory, is a finding, too: then nothing is known. Of a document
    that can't be read nothing is said here.
    """
    if stops(reading.findings):
        return ()
    value, wrong = _schema(schema)
    if wrong:
        return wrong
    found = _asked({"schema": value, "value": reading.value}, reading, read(schema, Format.JSON), seconds, memory)
    return found or (Finding(Severity.OK, "schema", "schema"),)


def _schema(schema: bytes) -> tuple[Json, tuple[Finding, ...]]:
    reading = read(schema, Format.JSON)
    wrong = stops(reading.findings)
    if not wrong:
        return reading.value, ()
    return None, (_stop("schema-invalid", f"The schema can't be read: {wrong[0].text}"),)


def _asked(request: dict[str, Any], reading: Reading | None, schema: Reading, seconds: float, memory: int) -> tuple[Finding, ...]:
    body = json.dumps(request).encode("ascii")
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        done = subprocess.run(
            # Isolated: neither the folder that we stand in nor what the environment says of Python can bring in a module.
            [sys.executable, "-I", str(_CHECK), str(seconds), str(memory)],
            input=body,
            capture_output=True,
            timeout=seconds + _STARTING,
            env=environment,
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        return (_too_long(seconds),)
    except OSError as error:
        return (_stop("schema-check", f"The schema can't be checked: {neutralise(error.strerror or str(error))}."),)
    if done.returncode in (-signal.SIGALRM, -signal.SIGXCPU):
        return (_too_long(seconds),)
    try:
        found = json.loads(done.stdout)["findings"] if done.returncode == 0 else None
    except (ValueError, KeyError, TypeError):
        found = None
    if found is None:
        return (_stop("schema-check", f"The check against the schema broke off ({_ended(done)}): nothing is known."),)
    return tuple(sorted((_finding(one, reading, schema) for one in found), key=lambda one: one.line or 0))


def _finding(found: dict[str, Any], reading: Reading | None, schema: Reading) -> Finding:
    pointer, text = join(found["path"]), neutralise(found["text"])
    if found["about"] == "value" and reading is not None:
        return Finding(Severity.STOP, found["rule"], text, pointer, reading.line(pointer))
    # Where in the schema: a finding's own pointer and line are those of the document.
    line = schema.line(pointer) if pointer and get(schema.value, pointer, None) is not None else None
    return _stop(found["rule"], f"{text.removesuffix('.')} (line {line} of the schema)." if line else text)


def _stop(rule: str, text: str) -> Finding:
    return Finding(Severity.STOP, rule, text)


def _too_long(seconds: float) -> Finding:
    told = f"The check against the schema took longer than {duration(seconds)}, and was ended"
    return _stop("schema-time", f"{told}: is there a regular expression in it that never comes to an end?")


def _ended(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        return f"signal {-done.returncode}"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return neutralise(lines[-1][:200]) if lines else f"exit {done.returncode}"
