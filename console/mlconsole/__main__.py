"""The one door: `mlconsole` opens the console, `mlconsole …` runs a command. Only this module knows both faces."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os
import sys


def main() -> None:
    """Open the console or run the command line, and leave with its exit code (design §6)."""
    # A command lives for a moment: collecting what it imports costs it a fifth of its time, and so does tidying everything away at its end.
    gc.set_threshold(100_000)
    # While Python still imports, Ctrl-C ends the process as any other program's: nothing was begun, and there is no traceback.
    # (`_signal` is the built-in part of `signal`: importing that one would be the first thing to interrupt.)
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    try:
        code = _run(sys.argv[1:])
        # It is over: one more Ctrl-C while Python cleans up has nothing left to stop.
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    except KeyboardInterrupt:
        # Before anything was begun, or while the last line was being said.
        code = 130
    gc.freeze()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    # The console takes a fast path: the command line's parser would cost its first frame more than all else that it needs.
    from mlconsole.tui.start import is_for_console

    # A shell that completes a line names no command either: it speaks through its variable.
    if "_MLCONSOLE_COMPLETE" not in os.environ and is_for_console(arguments):
        from mlconsole.tui.start import run as open_console

        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        return open_console(arguments)
    from mlconsole.cli.main import run

    return run(arguments)


if __name__ == "__main__":
    main()
