"""`config list|show|diff|lint|whatif|forecast`: looking and judging. `drafting` changes a document, `publishing` lets it be read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli import config_words as words
from mlconsole.cli import drafting, publishing
from mlconsole.cli.common import Run, command
from mlconsole.cli.completion import complete_document
from mlconsole.core.text import neutralise

if TYPE_CHECKING:
    from mlconsole.engine.documentviews import DocumentView

app = typer.Typer(help="Config documents: what applications read, in versions.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The document.", autocompletion=complete_document)]
_File = Annotated[
    str | None, typer.Option("--file", metavar="FILE", help="These bytes, whatever the draft says; - reads what is piped in.")
]


# Looking.


@command(app, "list")
def list_documents(
    run: Run,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Its versions; else all documents.", autocompletion=complete_document)
    ] = None,
) -> None:
    """Every document: live version, share of the clients, draft and findings; of one, its versions.

    Exit 6 when one can't be read.
    """
    from mlconsole.engine import configuring

    views = configuring.documents(run.session) if name is None else (configuring.document(run.session, name),)
    if run.json:
        run.emit({"environment": run.environment.name, "documents": [words.document_json(one) for one in views]})
    elif not views:
        run.say(_none(run))
    else:
        for line in words.list_told(views) if name is None else words.versions_told(views[0]):
            run.say(line, indent=4)
    if any(one.problem for one in views):
        raise typer.Exit(6)


def _none(run: Run) -> str:
    if run.workspace.configs:
        return f"Environment {run.environment.name} keeps no config documents. Bind a role in mlconsole.yaml: `config: local`."
    return "mlconsole.yaml declares no config document. They stand under `configs:`, as in models: {file: config/models.json}."


@command(app)
def show(
    run: Run,
    name: _Name,
    version: Annotated[
        str, typer.Option("--version", metavar="VERSION", help="A number, draft, live, file, or another environment's name.")
    ] = "live",
    entries: Annotated[bool, typer.Option("--entries", help="The matrix of model × slice, as a table.")] = False,
) -> None:
    """The text, byte for byte.

    What is live, unless a version is named: `mlconsole config show models > models.json`.
    """
    from mlconsole.engine import configuring

    body = configuring.bytes_of(run.session, name, version)
    if entries:
        found = configuring.entries_of(run.session, name, version)
        if run.json:
            from mlconsole.cli.health import plain

            run.emit({"document": name, "version": version, "entries": [plain(one) for one in found]})
            return
        for line in words.entries_told(found) if found else ["No entry stands where the layout of mlconsole.yaml expects them."]:
            run.say(line)
        return
    text = body.decode("utf-8", "surrogateescape")
    if run.json:
        from mlconsole.core.documents import digest_of

        run.emit({"document": name, "version": version, "digest": digest_of(body), "text": text})
    elif sys.stdout.isatty():
        for line in text.removesuffix("\n").split("\n"):
            run.say(line.removesuffix("\r"))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


@command(app)
def diff(
    run: Run,
    name: _Name,
    old: Annotated[str | None, typer.Argument(metavar="OLD", help="A version, live, draft, file, or an environment. Else live.")] = None,
    new: Annotated[str | None, typer.Argument(metavar="NEW", help="The same. Else the draft; live, where there is none.")] = None,
    text: Annotated[bool, typer.Option("--text", help="Only as text.")] = False,
    structure: Annotated[bool, typer.Option("--structure", help="Only value by value.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 when they differ.")] = False,
) -> None:
    """What differs, value by value and as text.

    From what is live to the draft, unless others are named.
    """
    from mlconsole.engine import configuring

    view = configuring.document(run.session, name)
    if old is None and new is None and view.version is None and view.draft is not None:
        _all_new(run, view, exit_code=exit_code)
        return
    old, new = old or "live", new or ("draft" if view.draft is not None else "live")
    found, lines = configuring.compare(run.session, name, old, new)
    differ = bool(found) or words.differ(lines)
    if run.json:
        from mlconsole.cli.health import plain

        body = {"document": name, "old": old, "new": new, "differ": differ, "differences": [plain(one) for one in found]}
        run.emit({**body, "text": [plain(one) for one in lines]})
    else:
        run.say(f"config {name} · {_label(view, old)} → {_label(view, new)}")
        if not differ:
            run.say("They are equal, byte for byte." if view.draft is not None or {old, new} != {"live"} else _no_draft(view))
        elif not found and not text:
            run.say("Every value is equal, or one of them can't be read; only the text is another.")
        for line in [] if text else words.structure_told(found):
            run.say(line, indent=4)
        if differ and found and not text and not structure:
            run.say()
        for line in words.text_told(lines) if differ and not structure else []:
            run.say(line)
    if exit_code and differ:
        raise typer.Exit(1)


def _all_new(run: Run, view: DocumentView, *, exit_code: bool) -> None:
    """Nothing is published that the draft could be compared with."""
    if run.json:
        run.emit({"document": view.name, "old": None, "new": "draft", "differ": True, "differences": [], "text": []})
    run.say(f"Nothing is published of {view.name} yet: all of the draft is new. mlconsole config show {view.name} --version draft")
    if exit_code:
        raise typer.Exit(1)


def _no_draft(view: DocumentView) -> str:
    return f"There is no draft. mlconsole config edit {view.name} POINTER=VALUE begins one."


def _label(view: DocumentView, what: str) -> str:
    if what == "live":
        return f"live {view.version}" if view.version is not None else "live"
    if what == "draft":
        return f"draft on {view.draft.base}" if view.draft is not None and view.draft.base is not None else "draft"
    return f"version {what}" if what.isdigit() else neutralise(what)


drafting.add(app)


# Judging.


@command(app)
def lint(
    run: Run,
    name: _Name,
    file: _File = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Else the draft's; the slices it names are compared.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 also where a person has to look.")] = False,
) -> None:
    """What is wrong with the draft, or with a file.

    Of what is live, where there is no draft. Exit 1 when something stops its publication. A file is checked also where the environment
    can't be reached, as in CI.
    """
    from mlconsole.cli.editing import bytes_of
    from mlconsole.cli.health import plain
    from mlconsole.engine import checking

    body = bytes_of(file) if file is not None else None
    found = checking.lint(run.session, name, body, reason=reason if reason is not None else run.shared.reason or None)
    stops, looks = (sum(1 for one in found.findings if one.severity == severity) for severity in ("stop", "look"))
    if run.json:
        told = {"document": name, "of": file or found.what, "beside": found.beside, "unknown": found.unknown}
        run.emit({**told, "stops": stops, "looks": looks, "findings": [plain(one) for one in found.findings]})
    else:
        if found.unknown:
            run.say(f"? {found.unknown}", indent=2)
        for line in words.findings_told(found.findings):
            run.say(line, indent=2)
        what = {"draft": f"the draft of {name}", "live": f"what is live of {name}"}.get(found.what, file or "")
        run.say(words.judged_told(what, stops, looks, found.beside))
    if stops or (strict and looks):
        raise typer.Exit(1)


@command(app)
def whatif(
    run: Run,
    name: _Name,
    days: Annotated[float, typer.Option("--days", min=0.01, max=366.0, metavar="DAYS", help="How far back.")] = 7.0,
    flips: Annotated[bool, typer.Option("--flips", help="The predictions that would have been decided otherwise, to be read.")] = False,
    file: _File = None,
) -> None:
    """The stored predictions, decided again by the draft.

    Alerts a day of each slice, now and then. Says where it can't know, and never guesses.
    """
    from mlconsole.cli.editing import bytes_of
    from mlconsole.cli.health import plain
    from mlconsole.engine import configuring

    view = configuring.what_if(run.session, name, days=days, body=bytes_of(file) if file is not None else None)
    if run.json:
        run.emit({"document": name, "what_if": plain(view)})
        return
    for line in words.what_if_told(view, flips=flips):
        run.say(line)


@command(app)
def forecast(run: Run, name: _Name) -> None:
    """What the live version was forecast to do, and what came.

    Exit 1 when a forecast is broken.
    """
    from mlconsole.cli.health import plain
    from mlconsole.engine import configuring

    view = configuring.document(run.session, name)
    if run.json:
        run.emit({"document": name, "version": view.version, "problem": view.problem, "forecast": plain(view.forecast)})
    elif view.problem:
        run.say(f"? {view.name}: {view.problem}", indent=2)
    elif view.forecast is None:
        live = (
            f"config {name} {view.version} was published without a forecast"
            if view.version is not None
            else f"config {name} is not published"
        )
        run.say(f"{live}: there is nothing to compare.")
    else:
        for line in words.forecast_told(view.forecast):
            run.say(line)
    if view.problem:
        raise typer.Exit(6)
    if view.forecast is not None and any(row.verdict == "broken" for row in view.forecast.rows):
        raise typer.Exit(1)


publishing.add(app)
