"""What is done with the draft of a config document by key: a value changed, moved, or all of it in the editor; compared; discarded.

Nothing of it is published; each answer is the document with its draft, judged anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlconsole.core.documents import Layout
from mlconsole.core.errors import MLConsoleError
from mlconsole.engine.documentviews import DocumentView, EntryView, VersionView, WhatIfRowView, WhatIfView
from mlconsole.engine.views import ReleaseView
from mlconsole.tui import values
from mlconsole.tui.config_evidence import flip_lines
from mlconsole.tui.config_text import compared_lines, file_lines
from mlconsole.tui.config_words import cell_of, difference_told, named, siblings
from mlconsole.tui.dialogs import Ask, Choice, Option, TextBox
from mlconsole.tui.editing import Written, in_editor
from mlconsole.tui.pane import line
from mlconsole.tui.signs import DIM

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.tui.app import ConsoleApp
    from mlconsole.tui.config_keys import ConfigKeys

_DRAFT, _LIVE = "draft", "live"
_OTHERS = 6
"""Siblings whose values are told in the dialog."""


@dataclass(frozen=True)
class Cell:
    """One value that is to be changed: where it stands, what it is, and what it was before the draft (`values.MISSING`: not there)."""

    entry: EntryView
    pointer: str
    present: Any
    before: Any


def layout_of(app: ConsoleApp, one: DocumentView) -> Layout:
    """How applications read the document."""
    settings = app.workspace.configs.get(one.name)
    return settings.layout if settings is not None else Layout()


def pointer_of(layout: Layout, entry: EntryView, column: str) -> str:
    """Where a cell's value stands in the document."""
    split = column == "share" and layout.split and " · " in entry.share
    return entry.pointer + str(getattr(layout, "split" if split else column))


def source_of(one: DocumentView) -> str:
    """The text that is worked on: the draft's, else the live one."""
    return _DRAFT if one.draft is not None else _LIVE


# One value.


def edit_cells(app: ConsoleApp, view: ConfigKeys, one: DocumentView, entries: Sequence[EntryView], column: str) -> None:
    """Ask for another value of a column, in one entry or in all that are marked."""
    layout = layout_of(app, one)

    def call(session: Session) -> list[Cell] | str:
        now, why = _value_of(session, one, source_of(one))
        if why:
            return why
        changed = any(column in entry.changed for entry in entries)
        base = one.draft.base if one.draft is not None else None
        before = _value_of(session, one, base)[0] if changed and base is not None else values.MISSING
        return [_cell(layout, entry, column, now, before) for entry in entries]

    def found(cells: list[Cell] | str) -> None:
        if isinstance(cells, str):
            app.say(f"config {one.name} can't be read: {cells} {app.actions_by_id['edit'].key} opens it in your editor.")
        else:
            _ask_value(app, view, one, cells, column)

    app.ask(f"reading {column} of {named(entries[0])}", call, found)


def _value_of(session: Session, one: DocumentView, which: str | int) -> tuple[Any, str]:
    """A text of the document as a value, and why there is none."""
    from mlconsole.documents import read
    from mlconsole.engine import configuring

    format_ = session.workspace.configs[one.name].format
    reading = read(configuring.text_of(session, one.name, which).encode("utf-8", "surrogateescape"), format_)
    stop = next((finding for finding in reading.findings if finding.severity == "stop"), None)
    return reading.value, f"{stop.text}{f' (line {stop.line})' if stop.line is not None else ''}." if stop is not None else ""


def _cell(layout: Layout, entry: EntryView, column: str, now: Any, before: Any) -> Cell:
    from mlconsole.core.pointers import get

    pointer = pointer_of(layout, entry, column)
    was = get(before, pointer, values.MISSING) if before is not values.MISSING else values.MISSING
    return Cell(entry, pointer, get(now, pointer, values.MISSING), was)


def _ask_value(app: ConsoleApp, view: ConfigKeys, one: DocumentView, cells: list[Cell], column: str) -> None:
    first = cells[0]
    changed = [cell for cell in cells if column in cell.entry.changed]
    others = [f"{each.slice} {cell_of(each, column) or '–'}" for each in siblings(one, first.entry)[:_OTHERS]]
    said = [line(f"now {values.written(first.present) or '–'}")]
    if len(cells) > 1:
        said = [line(f"{named(cell.entry)}: {values.written(cell.present) or '–'}") for cell in cells[:_OTHERS]]
        said += [line((f"and {len(cells) - _OTHERS} more", DIM))] if len(cells) > _OTHERS else []
    elif others:
        said.append(line((f"beside it: {' · '.join(others)}", DIM)))
    if changed:
        said.append(line((f"empty: back to {', '.join(values.written(cell.before) or 'none' for cell in changed[:3])}", DIM)))
    title = named(first.entry, column) if len(cells) == 1 else f"{column} of {len(cells)} marked entries"

    def check(text: str) -> str:
        if not text and len(changed) == len(cells):
            return ""
        return next((wrong for cell in cells if (wrong := values.problem(text, cell.present, column))), "")

    def typed(text: str | None) -> None:
        if text is None:
            return
        edits = {cell.pointer: values.read_value(text, cell.present, column) if text else cell.before for cell in cells}
        if text and all(edits[cell.pointer] == cell.present for cell in cells):
            app.say(f"{title} is {text} already. Nothing was changed.")
            return
        _edit(app, view, one, edits, title)

    app.push_screen(Ask(title, said, value=values.written(first.present) if len(cells) == 1 else "", check=check), typed)


def _edit(app: ConsoleApp, view: ConfigKeys, one: DocumentView, edits: dict[str, Any], what: str) -> None:
    def call(session: Session) -> DocumentView:
        from mlconsole.documents import REMOVE
        from mlconsole.engine import configuring

        wanted = {pointer: REMOVE if value is values.MISSING else value for pointer, value in edits.items()}
        return configuring.edit(session, one.name, wanted, edition=edition_of(one))

    app.ask(f"drafting {what}", call, lambda now: drafted(app, view, now))


def edition_of(one: DocumentView) -> int | None:
    """The edition that a person saw: another one that came between is a conflict, not overwritten."""
    return one.draft.edition if one.draft is not None else None


def drafted(app: ConsoleApp, view: ConfigKeys, one: DocumentView) -> None:
    """Say what the draft comes to, and show it."""
    view.took(one)
    draft, key = one.draft, app.actions_by_id["publish"].key
    if draft is None or not draft.differences:
        app.say(f"The draft of {one.name} says what is live already. Nothing would change.")
    elif len(draft.differences) == 1:
        only = draft.differences[0]
        app.say(f"Draft kept, nothing has happened: {only.where} {difference_told(only)}. {key} publishes it.")
    else:
        app.say(f"Draft kept, nothing has happened: {len(draft.differences)} values change. {key} publishes them.")


# Moved to another slice.


def move(app: ConsoleApp, view: ConfigKeys, one: DocumentView, entry: EntryView, column: str, first: str = "") -> None:
    """Let a person choose the slice that a changed value was meant for; `first`: the one that they named."""
    now, layout = cell_of(entry, column), layout_of(app, one)
    beside = sorted(siblings(one, entry), key=lambda each: each.slice != first)
    options = [Option(each.slice, each.slice, f"{column} is {cell_of(each, column) or '–'} there now") for each in beside]

    def chosen(slice_: str | None) -> None:
        if slice_ is None:
            return

        def call(session: Session) -> DocumentView:
            from mlconsole.engine import configuring

            return configuring.move(session, one.name, pointer_of(layout, entry, column), slice_, edition=edition_of(one))

        app.ask(f"moving {named(entry, column)} to {slice_}", call, lambda moved: _moved(app, view, moved, entry, slice_))

    app.push_screen(Choice(f"move {named(entry, column)} {now} to which {one.slice_word}", options), chosen)


def _moved(app: ConsoleApp, view: ConfigKeys, one: DocumentView, entry: EntryView, slice_: str) -> None:
    drafted(app, view, one)
    there = next((each for each in one.entries if (each.model, each.slice) == (entry.model, slice_)), None)
    if there is not None:
        view.go_to_entry(there)


# All of it.


def open_editor(app: ConsoleApp, view: ConfigKeys, one: DocumentView) -> None:
    """All of it in the editor; a document that nothing was published of begins with the file that the workspace names."""

    def call(session: Session) -> tuple[DocumentView, str]:
        from mlconsole.engine import configuring

        there = one if one.version is not None or one.draft is not None else configuring.edit(session, one.name, {})
        return there, configuring.text_of(session, one.name, source_of(there))

    def found(result: tuple[DocumentView, str]) -> None:
        there, text = result
        if there is not one:
            view.took(there)
        settings = app.workspace.configs.get(one.name)
        written = in_editor(app, text, settings.file.name if settings is not None else f"{one.name}.json")
        if written is not None:
            _replace(app, view, there, written)

    app.ask(f"opening {one.name} in your editor", call, found)


def _replace(app: ConsoleApp, view: ConfigKeys, one: DocumentView, written: Written) -> None:
    def call(session: Session) -> DocumentView | MLConsoleError:
        from mlconsole.engine import configuring

        try:
            return configuring.replace(session, one.name, written.body, edition=edition_of(one))
        except MLConsoleError as error:
            return error

    def done(result: DocumentView | MLConsoleError) -> None:
        if isinstance(result, MLConsoleError):
            app.say(f"{result} What you wrote lies in {written.path}.")
            return
        written.forget()
        drafted(app, view, result)

    app.ask(f"drafting {one.name}", call, done)


def discard(app: ConsoleApp, view: ConfigKeys, one: DocumentView) -> None:
    """Throw the draft away: shown first, then `y`."""
    from mlconsole.tui.rollout_box import ControlBox

    draft = one.draft
    if draft is None:
        return
    rows = [
        ("draft", f"{draft.who}{f', on {draft.base}' if draft.base is not None else ''}"),
        ("then", f"what is live stays: {one.version or 'nothing'}"),
    ]
    rows += [("loses" if place == 0 else " ", f"{each.where} {difference_told(each)}") for place, each in enumerate(draft.differences[:8])]
    rows += [(" ", f"and {len(draft.differences) - 8} more")] if len(draft.differences) > 8 else []
    rows.append((" ", "what is discarded can't be brought back"))
    box = ControlBox(
        f"discard the draft · config {one.name}", rows, app.signs, confirm=None, yes="y discard", environment=one.environment, command=""
    )

    def said(typed: str | None) -> None:
        if typed is None:
            app.say("Nothing has happened. The draft is kept.")
            return

        def call(session: Session) -> DocumentView:
            from mlconsole.engine import configuring

            return configuring.discard(session, one.name, edition=edition_of(one))

        app.ask(f"discarding the draft of {one.name}", call, discarded)

    def discarded(now: DocumentView) -> None:
        view.took(now)
        app.say(f"The draft of {one.name} is gone. Live is {now.version or 'nothing'}, as before.")

    app.push_screen(box, said)


def rebase(app: ConsoleApp, view: ConfigKeys, one: DocumentView) -> None:
    """The draft's edits onto what is live by now."""

    def call(session: Session) -> DocumentView:
        from mlconsole.engine import configuring

        return configuring.rebase(session, one.name, edition=edition_of(one))

    app.ask(f"putting the draft of {one.name} onto {one.version}", call, lambda now: drafted(app, view, now))


def keep(app: ConsoleApp, one: DocumentView) -> None:
    """Keep what somebody else published as a release of ours, with a reason."""

    def typed(reason: str | None) -> None:
        if reason is None:
            return

        def call(session: Session) -> ReleaseView:
            from mlconsole.engine import configuring

            return configuring.adopt(session, one.name, reason=reason)

        app.ask(f"keeping what is live of {one.name}", call, kept)

    def kept(release: ReleaseView) -> None:
        app.say(f'config {one.name} is #{release.number} "{release.kind}" now: {release.content}.')
        app.look()

    app.push_screen(Ask(f"keep what is live of config {one.name}", [line("Why? It stays in the history.")]), typed)


# Reading.


def show_text(app: ConsoleApp, one: DocumentView) -> None:
    """The whole file, the lines that the draft changes marked."""
    which = source_of(one)
    changed = frozenset(each.new for each in one.draft.text if each.sign == "+" and each.new is not None) if one.draft else frozenset()

    def call(session: Session) -> str:
        from mlconsole.engine import configuring

        return configuring.text_of(session, one.name, which)

    title = f"config {one.name} · {'draft' if which == _DRAFT else one.version}"

    def shown(text: str) -> None:
        app.push_screen(TextBox(title, file_lines(text, changed)))

    app.ask(f"reading {one.name}", call, shown)


def compare(app: ConsoleApp, one: DocumentView) -> None:
    """Beside which version, or which other environment; the draft where there is one, else what is live."""
    own = source_of(one)
    options = [Option(_LIVE, f"live {one.version}", "what applications read")] if own == _DRAFT and one.version is not None else []
    for each in sorted(one.versions, key=lambda each: -each.number):
        if each.number != one.version:
            options.append(Option(str(each.number), f"version {each.number}", f"{each.who.partition('@')[0]}  {each.reason}"))
    others = [name for name in app.workspace.environments if name != app.environment.name]
    options += [Option(f"env {name}", f"{name}, live", "the same document in another environment") for name in others]
    told = "the draft" if own == _DRAFT else f"live {one.version}"

    def chosen(key: str | None) -> None:
        if key is not None:
            old: str | int = int(key) if key.isdigit() else key.removeprefix("env ")
            show_compared(app, one, old, own, f"{key.removeprefix('env ')} → {told}")

    app.push_screen(Choice(f"compare {told} of {one.name} with", options), chosen)


def show_compared(app: ConsoleApp, one: DocumentView, old: str | int, new: str | int, told: str) -> None:
    """The differences between two texts of the document, value by value and as text."""

    def call(session: Session) -> Any:
        from mlconsole.engine import configuring

        return configuring.compare(session, one.name, old, new)

    def shown(result: Any) -> None:
        width = min(118, int(app.size.width * 0.96)) - 4
        found, text = result
        app.push_screen(TextBox(f"config {one.name} · {told}", compared_lines(found, text, width, app.signs)))

    app.ask(f"comparing {one.name}", call, shown)


def show_version(app: ConsoleApp, one: DocumentView, version: VersionView) -> None:
    """What a version changed; the first one as it is."""
    if version.parent is not None:
        show_compared(app, one, version.parent, version.number, f"{version.parent} → {version.number}, by {version.who}")
        return

    def call(session: Session) -> str:
        from mlconsole.engine import configuring

        return configuring.text_of(session, one.name, version.number)

    title = f"config {one.name} · {version.number}, the first one"

    def shown(text: str) -> None:
        app.push_screen(TextBox(title, file_lines(text)))

    app.ask(f"reading {one.name} {version.number}", call, shown)


def show_flips(app: ConsoleApp, what_if: WhatIfView, row: WhatIfRowView) -> None:
    """The predictions that would have been decided otherwise."""
    if row.unknown:
        app.say(f"{' · '.join(part for part in (row.model, row.slice) if part)}: {row.unknown}")
        return
    title = f"flips · {' · '.join(part for part in (row.model, row.slice) if part)}"
    app.push_screen(TextBox(title, flip_lines(what_if, row)))
