"""Running a command line: parsing, and turning every error into one sentence, an exit code and, on request, JSON."""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import typer
from typer.exceptions import Abort, Exit, TyperException

from mlconsole.cli.common import encodable, json_line, lost_output
from mlconsole.core.errors import MLConsoleError
from mlconsole.core.text import did_you_mean, neutralise

_INTERRUPTED = "Interrupted. Nothing more was done."


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code of design §6. No traceback reaches a person (invariant 12)."""
    as_json = "--json" in arguments
    try:
        _streams()
        _end_at_ctrl_c(as_json)
        from mlconsole.cli.app import app

        command = typer.main.get_command(app)
        if "_MLCONSOLE_COMPLETE" in os.environ:
            command.main(prog_name="mlconsole")
        # Not `command.main`: it would take Ctrl-C and a closed pipe for itself, and say nothing of them.
        with command.make_context("mlconsole", list(arguments)) as context:
            result = command.invoke(context)
        sys.stdout.flush()
    except MLConsoleError as error:
        return _report(error.code, error.message, error.next, error.exit_code, as_json)
    except Exit as error:
        sys.stdout.flush()
        return error.exit_code
    except (Abort, KeyboardInterrupt):
        return _report("interrupted", _INTERRUPTED, "", 130, as_json)
    except TyperException as error:
        return _usage(error, as_json)
    except OSError as error:
        return _output_lost(error, as_json)
    except Exception as error:  # noqa: BLE001 - the edge: whatever is left is our bug, told in one line
        return _bug(error, as_json)
    return result if isinstance(result, int) else 0


def _report(code: str, message: str, advice: str, exit_code: int, as_json: bool) -> int:
    try:
        if as_json:
            print(json_line({"error": {"code": code, "message": message, "next": advice}}), flush=True)
        print(encodable(neutralise(f"{message} {advice}".strip()), sys.stderr), file=sys.stderr, flush=True)
    except OSError as error:
        lost_output(error)
    return exit_code


def _end_at_ctrl_c(as_json: bool) -> None:
    """Ctrl-C ends the process there and then, with one line.

    A `KeyboardInterrupt` comes up wherever Python happens to be: some places swallow it, and the command would go on; others complain in
    tracebacks. What was committed stays whole, as after kill -9. A running change has a handler of its own, and so has what tidies up.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        with suppress(OSError):
            if as_json:
                told = json_line({"error": {"code": "interrupted", "message": _INTERRUPTED, "next": ""}})
                os.write(1, f"{told}\n".encode())
            os.write(2, f"{_INTERRUPTED}\n".encode())
        os._exit(130)

    signal.signal(signal.SIGINT, end)


def _streams() -> None:
    """A stream that was closed before we began (`>&-`) is nobody's: write there into nothing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def _output_lost(error: OSError, as_json: bool) -> int:
    """Being cut off by who reads us (`| head`) is no failure; an answer that a full disk swallowed is one."""
    try:
        lost_output(error)
    except OSError:
        return _bug(error, as_json)
    if error.errno == errno.EPIPE:
        return 0
    with suppress(OSError):
        print(f"The answer can't be written: {error.strerror}. Nothing more was done.", file=sys.stderr, flush=True)
    return 1


def _usage(error: TyperException, as_json: bool) -> int:
    """A command line that can't be parsed, in one line with the nearest right name. What was typed wrong is in the error's context."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message())
        return 0
    message = " ".join(error.format_message().split())
    group: Any = getattr(context, "command", None)
    if message.startswith("No such command") and hasattr(group, "list_commands"):
        name = message.split("'")[1]
        shown = [one for one in group.list_commands(context) if not group.get_command(context, one).hidden]
        message = f'There is no command "{name}". {did_you_mean(name, shown)}'
    path = context.command_path if context is not None else "mlconsole"
    return _report("usage", message if message.endswith((".", "?")) else f"{message}.", f"{path} --help tells more.", 2, as_json)


def _bug(error: Exception, as_json: bool) -> int:
    if os.environ.get("MLCONSOLE_DEBUG"):
        traceback.print_exc()
    message = f"mlconsole met a case it was not made for ({type(error).__name__}: {' '.join(str(error).split())})."
    advice = "MLCONSOLE_DEBUG=1 shows what it was doing; please report it."
    with suppress(OSError), tempfile.NamedTemporaryFile("w", prefix="mlconsole-", suffix=".log", delete=False) as file:
        traceback.print_exc(file=file)
        advice = f"What it was doing is in {file.name}; please report it."
    return _report("bug", message, advice, 1, as_json)
