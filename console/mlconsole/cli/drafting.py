"""`config edit|set|move|rebase|discard|import-env`: the draft of a config document, on which nobody depends until it is published."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli import config_words as words
from mlconsole.cli.common import Run, command, encodable
from mlconsole.cli.completion import complete_document
from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import ConfirmationNeeded, InvalidFile, MLConsoleError, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.documentviews import DocumentView

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The document.", autocompletion=complete_document)]
_Edition = Annotated[
    int | None, typer.Option("--edition", min=0, metavar="N", help="Only if the draft is still that one (0: there is none).")
]
_Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the draft.")]
_File = Annotated[str | None, typer.Option("--file", metavar="FILE", help="These bytes as the whole draft; - reads what is piped in.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app)
    def edit(
        run: Run,
        name: _Name,
        values: Annotated[
            list[str] | None,
            typer.Argument(metavar="POINTER=VALUE", help="As relevance.pl.threshold=0.48, or /relevance/pl/threshold=0.48."),
        ] = None,
        remove: Annotated[list[str] | None, typer.Option("--remove", metavar="POINTER", help="Take a value away.")] = None,
        file: _File = None,
        edition: _Edition = None,
        reason: _Reason = "",
    ) -> None:
        """Change the draft: values, a file, or in your editor.

        A draft is begun where there is none; it has no number, and nobody reads it, until it is published. VALUE is JSON, else a text; all
        that is not named stays as it is, byte for byte.
        """
        from mlconsole.cli.editing import bytes_of, edits_of
        from mlconsole.engine import configuring

        why = reason or run.shared.reason or None
        edits = edits_of(values or [], remove or [])
        if file is not None and edits:
            raise UsageError("A file and values were both given: one of the two. Nothing was changed.")
        if file is not None:
            _drafted(run, configuring.replace(run.session, name, bytes_of(file), edition=edition, reason=why))
        elif edits:
            _drafted(run, configuring.edit(run.session, name, edits, edition=edition, reason=why))
        elif _interactive(run):
            _in_editor(run, name, why)
        else:
            raise UsageError(
                "No value was named, and there is no terminal for an editor. Nothing was changed.",
                next=f"mlconsole config edit {name} relevance.pl.threshold=0.48, or --file FILE.",
            )

    @command(app, "set", context_settings={"ignore_unknown_options": True})
    def set_value(
        run: Run,
        name: _Name,
        pointer: Annotated[str, typer.Argument(metavar="POINTER", help="As relevance.pl.threshold, or /relevance/pl/threshold.")],
        value: Annotated[str, typer.Argument(metavar="VALUE", help="JSON, else a text.")],
        edition: _Edition = None,
        reason: _Reason = "",
    ) -> None:
        """Change one value of the draft."""
        from mlconsole.cli.editing import pointer_of, value_of
        from mlconsole.engine import configuring

        why = reason or run.shared.reason or None
        _drafted(run, configuring.edit(run.session, name, {pointer_of(pointer): value_of(value)}, edition=edition, reason=why))

    @command(app)
    def move(
        run: Run,
        name: _Name,
        pointer: Annotated[str, typer.Argument(metavar="POINTER", help="The value that the draft changes.")],
        slice_: Annotated[str, typer.Argument(metavar="SLICE", help="The slice that it was meant for, as de.")],
        edition: _Edition = None,
    ) -> None:
        """Move a changed value to the slice it was meant for.

        Where it stands it becomes what it was before.
        """
        from mlconsole.cli.editing import pointer_of
        from mlconsole.engine import configuring

        _drafted(run, configuring.move(run.session, name, pointer_of(pointer), slice_, edition=edition))

    @command(app)
    def rebase(run: Run, name: _Name, edition: _Edition = None) -> None:
        """Put the draft's edits onto what is live by now.

        Exit 5 where others changed the same values.
        """
        from mlconsole.engine import configuring

        _drafted(run, configuring.rebase(run.session, name, edition=edition))

    @command(app, "import-env")
    def import_env(
        run: Run, name: _Name, file: Annotated[str, typer.Argument(metavar="FILE", help="NAME=VALUE lines; - reads what is piped in.")]
    ) -> None:
        """Take values of an environment file into the draft.

        What could not be placed is told.
        """
        from mlconsole.cli.editing import bytes_of
        from mlconsole.engine import configuring

        try:
            text = bytes_of(file).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidFile(f"{neutralise(file)} is no UTF-8 text (byte {error.start}). Nothing was changed.") from error
        _drafted(run, configuring.import_env(run.session, name, text))

    @command(app, changing=True)
    def discard(run: Run, name: _Name, edition: _Edition = None) -> None:
        """Throw the draft away. What is live stays as it is."""
        from mlconsole.engine import configuring

        view = configuring.document(run.session, name)
        if view.draft is None:
            run.say(f"Nothing to do: config {name} has no draft.")
        else:
            _told_lost(run, view)
            if run.shared.dry_run:
                run.say("Nothing has happened.")
            else:
                _require_yes(run, f"This throws the draft of {name} away", "y throws it away, anything else keeps it")
                view = configuring.discard(run.session, name, edition=edition if edition is not None else view.draft.edition)
                run.say(f"✔ the draft of {name} is gone. Live is {view.version or 'nothing'}, as before.")
        if run.json:
            run.emit({"document": words.document_json(view)})


def _told_lost(run: Run, view: DocumentView) -> None:
    draft = view.draft
    assert draft is not None  # the caller looked
    run.say(f"draft of {view.name} by {draft.who}, edition {draft.edition}: {draft.about}")
    for line in words.structure_told(draft.differences):
        run.say(f"  {line}", indent=4)


def _require_yes(run: Run, what: str, question: str) -> None:
    if run.shared.yes:
        return
    if not _interactive(run):
        raise ConfirmationNeeded(f"{what}, and nobody said yes. Nothing was changed.", next="Add --yes.")
    if _answer(question) not in ("y", "yes"):
        raise ConfirmationNeeded("Cancelled. Nothing has happened.")


def _in_editor(run: Run, name: str, reason: str | None) -> None:
    """All of the draft in the person's editor, as often as they like; what they wrote is kept, whatever is wrong with it."""
    from mlconsole.cli.editing import Sheet
    from mlconsole.engine import configuring
    from mlconsole.engine.access import Deed

    session = run.session
    session.access.require(Deed.EDIT)
    view = configuring.document(session, name)
    begun = view.draft is not None or view.version is not None
    body, kept = configuring.bytes_of(session, name, "draft" if begun else "file"), False
    edition = view.draft.edition if view.draft is not None else 0
    sheet = Sheet.of(body, run.workspace.configs[name].file.name)
    while True:
        try:
            written = sheet.edited()
            if written == body:
                break
            view = configuring.replace(session, name, written, edition=edition, reason=reason)
        except MLConsoleError:
            if sheet.says(body):
                sheet.forget()
            else:
                run.warn(f"What you wrote lies in {sheet.path}.")
            raise
        body, kept, edition = written, True, view.draft.edition if view.draft is not None else 0
        findings = view.draft.findings if view.draft is not None else ()
        for line in words.findings_told(findings, passed=False):
            run.say(line, indent=4)
        stops = any(one.severity == "stop" for one in findings)
        if not stops or _answer("It can't be published so. e edits it again, anything else leaves the draft as it is") != "e":
            break
    sheet.forget()
    if kept:
        _drafted(run, view)
    else:
        run.say("Nothing was changed.")


def _interactive(run: Run) -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and not run.json


def _answer(question: str) -> str:
    """What a person types; nothing when they close the input."""
    try:
        return input(encodable(f"{neutralise(question)}: ")).strip()
    except EOFError:
        print()
        return ""


def _drafted(run: Run, view: DocumentView) -> None:
    """Tell what the draft says by now, and what lint says of it.

    Raises:
        InvalidFile: it can't be read; it is kept so.
    """
    from mlconsole.engine.checking import unreadable

    wrong = unreadable(run.session, view.name)
    draft = view.draft
    if wrong is not None:
        at = f" (line {wrong.line})" if wrong.line is not None and f"line {wrong.line}," not in wrong.text else ""
        raise InvalidFile(
            f"The draft of {view.name} can't be read: {wrong.text.rstrip('.')}{at}. It is kept; nothing was published.",
            next=f"Edit it again, or throw it away: mlconsole config discard {view.name}",
        )
    if run.json:
        run.emit({"document": words.document_json(view)})
        return
    if draft is None:
        run.say(f"config {view.name} has no draft.")
        return
    on = f", on {draft.base}" if draft.base is not None else ""
    run.say(f"✔ draft of {view.name}, edition {draft.edition}{on}: {draft.about}")
    for line in words.structure_told(draft.differences):
        run.say(f"  {line}", indent=4)
    for line in words.findings_told(draft.findings):
        run.say(line, indent=2)
    if words.outdated(view):
        live = view.version if view.version is not None else "nothing"
        run.say(f"▲ it was begun on {draft.base or 'nothing'}, live is {live}: mlconsole config rebase {view.name}", indent=2)
    if draft.differences or view.version is None:
        run.say(f"  nothing is published: mlconsole config whatif {view.name}, then mlconsole config publish {view.name}", indent=2)
