"""What all commands share: the options of design §6, the opened session, printing for people and for scripts."""

from __future__ import annotations

import errno
import inspect
import json
import os
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.core import TyperGroup

from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.engine.views import Progress
    from mlconsole.workspace import Environment, Workspace


_GOING_BACK = 60.0
"""Seconds that going back is given at least, however short the time was that somebody gave the change itself."""


@dataclass(frozen=True)
class Shared:
    """Values of the shared options as they were given."""

    workspace: str | None = None
    env: str | None = None
    json: bool = False
    read_only: bool = False
    timeout: float | None = None
    dry_run: bool = False
    yes: bool = False
    confirm: str | None = None
    reason: str = ""
    supersede: str = ""


class Run:
    """One run of a command: its shared options, its session (opened when first asked for), and its printers."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._session: Session | None = None
        self._opened: list[Session] = []
        self._workspace: Workspace | None = None
        self._step = ""

    @property
    def json(self) -> bool:
        """Whether the command speaks to a script."""
        return self.shared.json

    @property
    def timeout(self) -> float:
        """Seconds that the command may take."""
        return self.shared.timeout if self.shared.timeout is not None else 600.0

    @property
    def workspace(self) -> Workspace:
        """The workspace that `--workspace`, the environment or the folder names."""
        if self._workspace is None:
            from mlconsole.workspace import find_workspace, load

            self._workspace = load(find_workspace(self.shared.workspace, os.environ, Path.cwd()))
        return self._workspace

    def use(self, workspace: Workspace) -> None:
        """Work in this workspace, whatever the options say (the demo has one of its own)."""
        self._workspace = workspace

    @property
    def environment(self) -> Environment:
        """The environment that is worked in."""
        from mlconsole.workspace import environment

        return environment(self.workspace, self.shared.env, os.environ)

    @property
    def session(self) -> Session:
        """The opened session."""
        if self._session is None:
            self._session = self.open(self.environment)
        return self._session

    def open(self, environment: Environment, *, quiet: bool = False, guardian: bool = False) -> Session:
        """A session in an environment of this workspace. A quiet one tells of a change only what it waits for and what goes wrong; the
        `guardian`'s may have credentials of its own.
        """
        from mlconsole.engine.session import Session

        opened = Session(
            self.workspace,
            environment,
            read_only=self.shared.read_only or bool(os.environ.get("MLCONSOLE_READ_ONLY")),
            tell=self._tell_trouble if quiet else self._tell,
            deadline=max(_GOING_BACK, self.timeout),
            limit=self.shared.timeout,
            guardian=guardian,
        )
        self._opened.append(opened)
        return opened

    def close(self) -> None:
        """Give the registry back: its file is whole then, without a log beside it."""
        for session in self._opened:
            session.close()

    def emit(self, body: Mapping[str, Any]) -> None:
        """Print a JSON document for scripts."""
        print(json_line({"schema": 1, **body}), flush=True)

    def say(self, text: str = "", *, indent: int | None = None) -> None:
        """Print a line for people; nothing under `--json`. Control characters in it are foreign, and made harmless.

        With `indent` a line too long for the terminal goes on below itself, that far in; piped, it stays one line.
        """
        if not self.json:
            for line in folded(neutralise(text), indent, sys.stdout):
                print(encodable(line), flush=True)

    def mention(self, text: str) -> None:
        """As `say`, by who goes on when nobody listens any more: a terminal that is gone ends no watch and no rollout."""
        try:
            self.say(text)
        except OSError as error:
            lost_output(error)

    def warn(self, text: str) -> None:
        """Print a line for people beside the answer, on stderr; also under `--json`."""
        for line in folded(neutralise(text), 2, sys.stderr):
            print(encodable(line, sys.stderr), file=sys.stderr, flush=True)

    def _tell_trouble(self, progress: Progress) -> None:
        if progress.kind not in ("step", "done"):
            self._tell(progress)

    def _tell(self, progress: Progress) -> None:
        if self.json:
            return
        place = f"{progress.step}/{progress.steps} " if progress.step else ""
        sign = {"done": "✔ ", "problem": "✖ ", "going back": "← ", "waiting": "… ", "note": "· "}.get(progress.kind, "")
        text = progress.text
        if progress.kind == "step":
            self._step = text.removeprefix("back: ")
        elif self._step:
            # The line above has just said which step it is.
            text = text.removeprefix(f"{self._step}: ")
        try:
            for line in folded(f"  {place}{sign}{neutralise(text)}", 4, sys.stderr):
                print(encodable(line, sys.stderr), file=sys.stderr, flush=True)
        except OSError:
            # The terminal is gone (a dropped SSH connection); the change goes on, and the journal tells it.
            return


_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_seconds(text: str) -> float:
    """A length of time as people type it: `90`, `0.5`, `90s`, `5m`, `2h`.

    Raises:
        BadParameter: it is none; the message says what is wanted.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)", str(text).strip())
    if found is None or found[2] not in _SECONDS:
        raise typer.BadParameter(f"{text!r} is no length of time, as 90, 90s, 5m or 2h is")
    return float(found[1]) * _SECONDS[found[2]]


_PLAIN = str.maketrans(
    {"✔": "ok", "✖": "X", "▲": "!", "·": "-", "–": "-", "…": "...", "→": "->", "←": "<-", "±": "+-", "\u2212": "-", "≠": "!="}
)
"""Our own signs for a terminal that knows only ASCII."""


def encodable(text: str, stream: Any = None) -> str:
    """The text in what the terminal can show; our own signs have words of their own there."""
    encoding = (stream or sys.stdout).encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def lost_output(error: OSError) -> None:
    """Nobody reads what we print any more (`| head`, a terminal that is gone, a full disk): from here on it goes into nothing.

    What is buffered still goes there too, or Python would complain once more at exit.

    Raises:
        OSError: it is no stream of ours that the error is about.
    """
    if error.filename is not None or error.errno not in (errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EBADF):
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_RAW = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def json_line(body: Mapping[str, Any]) -> str:
    """A JSON document in one line. What a terminal would obey is in it as an escape: scripts read the same text, a screen shows it."""
    ascii_only = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
    text = json.dumps(body, ensure_ascii=ascii_only, default=str)
    return _RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def width(stream: Any = None) -> int | None:
    """The terminal's columns; None where nobody looks at one, so that scripts get whole lines."""
    return shutil.get_terminal_size().columns if (stream or sys.stdout).isatty() else None


def folded(text: str, indent: int | None, stream: Any = None) -> list[str]:
    """A line in as many as the terminal needs, those below `indent` columns in."""
    room = width(stream)
    if indent is None or room is None or len(text) <= room:
        return [text]
    return _wrapped(text, max(room, indent + 20), " " * indent)


def _wrapped(text: str, room: int, below: str = "") -> list[str]:
    """A text broken between words; a figure stays with its unit."""
    kept = text.replace(" %", "\u00a0%")
    lines = textwrap.wrap(kept, room, subsequent_indent=below, break_on_hyphens=False, break_long_words=not below)
    return [line.replace("\u00a0%", " %") for line in lines] or [""]


_READING = {
    "workspace": Annotated[
        str | None,
        typer.Option("--workspace", "-w", metavar="DIR", help="The workspace (else $MLCONSOLE_WORKSPACE, else here or above)."),
    ],
    "env": Annotated[
        str | None, typer.Option("--env", "-e", metavar="NAME", help="The environment (else $MLCONSOLE_ENV, else the default one).")
    ],
    "json": Annotated[bool, typer.Option("--json", help="Speak JSON.")],
    "read_only": Annotated[bool, typer.Option("--read-only", help="Refuse every change.")],
    "timeout": Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", parser=parse_seconds, help="How long this may take (600); also 90s, 5m, 2h."),
    ],
}
_CHANGING = {
    "dry_run": Annotated[bool, typer.Option("--dry-run", help="Show and keep the plan; change nothing.")],
    "yes": Annotated[bool, typer.Option("--yes", "-y", help="Say yes to all that wants no name typed.")],
    "confirm": Annotated[str | None, typer.Option("--confirm", metavar="NAME", help="The name that the plan wants typed.")],
    "reason": Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the history.")],
    "supersede": Annotated[
        str, typer.Option("--supersede", metavar="ROLLOUT", help="The rollout that this takes the place of.", hidden=True)
    ],
}
_ALL = {**_READING, **_CHANGING}
_AT_ROOT = frozenset({"workspace", "env", "json", "read_only"})
_DEFAULTS = Shared()


def command(
    app: typer.Typer, name: str | None = None, *, changing: bool = False, **settings: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a command of `function(run, …)`: it gets the shared options without declaring them.

    A value given before the command (`mlconsole --env production status`) counts where the command itself was given none.
    """
    options = {**_READING, **(_CHANGING if changing else {})}

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(function, eval_str=True).parameters

        def wrapped(ctx: typer.Context, **values: Any) -> Any:
            given = {key: values.pop(key) for key in options}
            run = Run(_merged(ctx.obj, given))
            try:
                return function(run, **values)
            finally:
                run.close()

        parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for key, one in own.items() if key != "run"]
        parameters += _parameters(options)
        _sign(wrapped, function, parameters)
        app.command(name, **settings)(wrapped)
        return function

    return register


def shared_options(app: typer.Typer, root: Callable[..., None] | None = None) -> None:
    """Let a group take the shared options before its command too: `mlconsole --env production endpoints --json list`.

    They are the same everywhere and told in each command's help; a group's help stays short. `root` adds options of its own.
    """
    own = inspect.signature(root, eval_str=True).parameters if root is not None else {}

    def wrapped(ctx: typer.Context, **values: Any) -> None:
        ctx.obj = _merged(ctx.obj, {key: values[key] for key in _ALL})

    parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    parameters += _parameters(_ALL, hidden=_ALL.keys() - (_AT_ROOT if root is not None else ()))
    parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.values()]
    _sign(wrapped, root or shared_options, parameters)
    wrapped.__doc__ = None
    app.callback()(wrapped)


class DefaultCommand(TyperGroup):
    """A group whose first command is meant where none is named: `mlconsole health` is `mlconsole health now`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the first command in, unless one is there or help was asked for."""
        if not any(arg in self.commands for arg in args) and not {"--help", "-h"} & set(args):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def _merged(outer: Any, given: Mapping[str, Any]) -> Shared:
    """What was given nearest to the command's end counts; what was not given there, may have been given before."""
    base = outer if isinstance(outer, Shared) else _DEFAULTS
    return replace(base, **{key: value for key, value in given.items() if value != getattr(_DEFAULTS, key)})


def _parameters(options: Mapping[str, Any], *, hidden: Collection[str] = ()) -> list[inspect.Parameter]:
    found = []
    for key, annotation in options.items():
        kind, option = get_args(annotation)
        option = copy(option)
        option.hidden = option.hidden or key in hidden
        declared = Annotated[kind, option]  # type: ignore[valid-type]
        found.append(inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=getattr(_DEFAULTS, key), annotation=declared))
    return found


def _sign(wrapped: Callable[..., Any], named: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> None:
    wrapped.__name__, wrapped.__doc__ = named.__name__, named.__doc__
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters}


@contextmanager
def tidying() -> Iterator[None]:
    """While something is built that has to be taken away again when it is not finished: Ctrl-C comes as `KeyboardInterrupt`."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def pairs(texts: list[str], what: str) -> dict[str, str]:
    """`KEY=VALUE` arguments as a mapping.

    Raises:
        UsageError: no `=`, or the same key twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise UsageError(f'"{text}" is not {what}.')
        if key in found:
            raise UsageError(f'"{key}" is given twice. Nothing was changed.')
        found[key] = value
    return found


def columns(rows: list[list[str]], right: frozenset[int] = frozenset(), *, wide: int | None = None, cut: bool = False) -> list[str]:
    """Rows as aligned lines; the columns of `right` are aligned to the right.

    Column `wide` gives way in a narrow terminal: its cells go on below themselves, or are `cut`. Piped, every row stays one line.
    """
    if not rows:
        return []
    rows = [[neutralise(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    room = width()
    if wide is not None and room is not None:
        over = sum(widths) + 2 * (len(widths) - 1) - room
        widths[wide] = max(min(widths[wide], 16), widths[wide] - max(0, over))
    lines = []
    for row in rows:
        parts = [""] if wide is None else _wrapped(row[wide], widths[wide])
        if cut and len(parts) > 1:
            parts = [f"{row[wide or 0][: widths[wide or 0] - 1].rstrip()}…"]
        for number, part in enumerate(parts):
            shown = [part if place == wide else cell if number == 0 else "" for place, cell in enumerate(row)]
            cells = [
                cell.rjust(size) if place in right else cell.ljust(size)
                for place, (cell, size) in enumerate(zip(shown, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
    return lines


def share(bp: float | None) -> float | None:
    """Basis points as a percentage for JSON; None stays null."""
    return None if bp is None else round(bp / 100, 4)
