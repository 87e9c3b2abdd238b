"""What all commands share: the options of design §6, the opened session, printing for people and for scripts."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.engine.views import Progress
    from mlconsole.workspace import Environment, Workspace


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


class Run:
    """One run of a command: its shared options, its session (opened when first asked for), and its printers."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._session: Session | None = None
        self._workspace: Workspace | None = None

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

    def open(self, environment: Environment, *, quiet: bool = False) -> Session:
        """A session in an environment of this workspace. A quiet one tells of a change only what it waits for and what goes wrong."""
        from mlconsole.engine.session import Session

        return Session(
            self.workspace,
            environment,
            read_only=self.shared.read_only or bool(os.environ.get("MLCONSOLE_READ_ONLY")),
            tell=self._tell_trouble if quiet else self._tell,
            deadline=self.timeout,
        )

    def emit(self, body: Mapping[str, Any]) -> None:
        """Print a JSON document for scripts."""
        print(json.dumps({"schema": 1, **body}, ensure_ascii=False, default=str))

    def say(self, text: str = "") -> None:
        """Print a line for people; nothing under `--json`. Control characters in it are foreign, and made harmless."""
        if not self.json:
            print(_encodable(neutralise(text, keep_newlines=True)), flush=True)

    def _tell_trouble(self, progress: Progress) -> None:
        if progress.kind not in ("step", "done"):
            self._tell(progress)

    def _tell(self, progress: Progress) -> None:
        if self.json:
            return
        place = f"{progress.step}/{progress.steps} " if progress.step else ""
        sign = {"done": "✔ ", "problem": "✖ ", "going back": "← ", "waiting": "… ", "note": "· "}.get(progress.kind, "")
        try:
            print(_encodable(f"  {place}{sign}{neutralise(progress.text)}"), file=sys.stderr, flush=True)
        except OSError:
            # The terminal is gone (a dropped SSH connection); the change goes on, and the journal tells it.
            return


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "replace").decode(encoding)


_READING = {
    "workspace": Annotated[
        str | None, typer.Option("--workspace", "-w", help="The workspace's folder (else $MLCONSOLE_WORKSPACE, else above here).")
    ],
    "env": Annotated[str | None, typer.Option("--env", "-e", help="The environment (else $MLCONSOLE_ENV, else the default one).")],
    "json": Annotated[bool, typer.Option("--json", help="Speak JSON.")],
    "read_only": Annotated[bool, typer.Option("--read-only", help="Refuse every change.")],
    "timeout": Annotated[float | None, typer.Option("--timeout", min=0.0, help="Seconds that this may take (600).")],
}
_CHANGING = {
    "dry_run": Annotated[bool, typer.Option("--dry-run", help="Show and keep the plan; change nothing.")],
    "yes": Annotated[bool, typer.Option("--yes", "-y", help="Say yes to all that wants no name typed.")],
    "confirm": Annotated[str | None, typer.Option("--confirm", metavar="NAME", help="The name that the plan wants typed.")],
    "reason": Annotated[str, typer.Option("--reason", help="Why; kept in the history.")],
}
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
            outer = ctx.obj if isinstance(ctx.obj, Shared) else _DEFAULTS
            merged = {key: value if value != getattr(_DEFAULTS, key) else getattr(outer, key) for key, value in given.items()}
            return function(Run(replace(_DEFAULTS, **merged)), **values)

        parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for key, one in own.items() if key != "run"]
        parameters += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=getattr(_DEFAULTS, key), annotation=annotation)
            for key, annotation in options.items()
        ]
        wrapped.__name__, wrapped.__doc__ = function.__name__, function.__doc__
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
        app.command(name, **settings)(wrapped)
        return function

    return register


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


def columns(rows: list[list[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as aligned lines; the columns of `right` are aligned to the right."""
    rows = [[neutralise(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width) for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def share(bp: float | None) -> float | None:
    """Basis points as a percentage for JSON; None stays null."""
    return None if bp is None else round(bp / 100, 4)
