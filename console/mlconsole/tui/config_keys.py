"""The keys of Config: moving in the matrix, drafting, publishing, going back; and why each is off just now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from textual.widget import Widget

from mlconsole.core.documents import document_of
from mlconsole.engine.documentviews import DocumentView, EntryView, WhatIfView
from mlconsole.tui import config_evidence as evidence
from mlconsole.tui import config_words as told
from mlconsole.tui.actions import Action
from mlconsole.tui.config_panes import ABSENT
from mlconsole.tui.config_state import ConfigState
from mlconsole.tui.config_text import report
from mlconsole.tui.pane import Pane, line
from mlconsole.tui.signs import DIM
from mlconsole.tui.table import LiveTable

_ROOMY = 120
"""Columns of a screen whose row of keys tells of all of them."""


class ConfigKeys(ConfigState):
    """What a person does with the document that is shown."""

    actions: ClassVar[tuple[str, ...]] = (
        "enter",
        "edit",
        "move",
        "compare",
        "copy",
        "more",
        "raw",
        "mark",
        "faults",
        "next_endpoint",
        "less",
        "greater",
        "rebase",
        "pause",
        "go_back",
        "publish",
        "next_stage",
        "keep",
        "remove",
    )
    words: ClassVar[Mapping[str, tuple[str, str]]] = {
        "enter": ("edit cell", "change the value under the cursor, in a draft; elsewhere: open what the cursor is on"),
        "edit": ("editor", "all of it in your editor ($EDITOR), as a draft"),
        "compare": ("compare", "beside another version, or another environment"),
        "raw": ("whole file", "the whole file, with its line numbers"),
        "mark": ("mark", "mark an entry: a value is then changed in all that are marked"),
        "faults": ("changed only", "only entries that the draft changes"),
        "next_endpoint": ("next document", "the next config document, here"),
        "less": ("cell", "the cell to the left"),
        "greater": ("cell", "the cell to the right"),
        "pause": ("hold", "hold what is being published, or let it go on; its guards go on either way"),
        "remove": ("discard", "throw the draft away: asks"),
    }

    # Moving.

    def open_subject(self, name: str) -> None:
        """A document; or an endpoint: the cursor goes to the first entry of its model, unless it is on one."""
        document = document_of(name)
        if document is not None:
            self._name = document
        else:
            self._wanted = self.ui.workspace.model_for(name) or name

    def go_to_entry(self, entry: EntryView) -> None:
        """Put the cursor on an entry; on the value that is changed there."""
        self.matrix.go_to_cell(entry.pointer, next(iter(entry.changed), self.matrix.cell))

    def first_focus(self) -> Widget | None:
        """The entries; while it is published the forecast, where there is one."""
        if self.has_class("-phone"):
            return self.query_one("#phone")
        return next(
            (widget for name in ("main", "forecast", "subject") if not (widget := self.query_one(f"#{name}")).has_class(ABSENT)), None
        )

    def tables(self) -> Iterable[LiveTable]:
        """The entries first."""
        return sorted(self.query(LiveTable), key=lambda table: (table.has_class(ABSENT), table.id != "main"))

    def on_pane_moved(self, event: Pane.Moved) -> None:
        """Another entry, or another cell: other keys are on."""
        if self.snapshot is not None:
            self.refresh_phone(self.snapshot)
            self.ui.render_keys()

    def on_descendant_focus(self) -> None:
        """Another pane has the keys: `enter` opens what is there."""
        self.ui.render_keys()

    def on_pane_chosen(self, event: Pane.Chosen) -> None:
        """Into it, by the mouse."""
        self.ui.do("enter")

    def act_less(self) -> None:
        """The cell to the left."""
        self.matrix.move_cell(-1)

    def act_greater(self) -> None:
        """The cell to the right."""
        self.matrix.move_cell(1)

    def act_out(self) -> None:
        """Out of the entries, to what is being published; then of the marks and of the filter."""
        if self.publication() is not None and self._inside:
            self._inside = False
            self._again()
        elif self.matrix.marked:
            self.matrix.marked.clear()
            self.matrix.redraw()
        else:
            self.ui.act_out()

    def _again(self) -> None:
        self.ui.render_all()
        focus = self.first_focus()
        if focus is not None:
            focus.focus()

    def act_next_endpoint(self) -> None:
        """The next document."""
        names = [one.name for one in self.snapshot.documents] if self.snapshot is not None else []
        one = self.document()
        if one is None or len(names) < 2:
            self.ui.say(f"{names[0]} is the only config document." if names else "There is no config document here.")
            return
        self._name = names[(names.index(one.name) + 1) % len(names)]
        self._inside = False
        self.matrix.marked.clear()
        self._again()

    def pane_with_keys(self) -> str:
        """The pane that has the keys."""
        focused = self.ui.focused
        return (focused.id or "") if isinstance(focused, Pane) and focused.id != "phone" else "main"

    # What can be done.

    def shown_actions(self) -> tuple[str, ...]:
        """What is of no use in this state of the document stands neither in the row of keys nor in `x`."""
        one, gone = self.document(), {"less", "greater", "mark", "rebase"}
        if one is None:
            return ("copy",)
        rollout = self.publication()
        if rollout is None:
            gone |= {"pause", "next_stage"}
        else:
            gone.add("publish")
        if self.at_publication:
            gone |= {"edit", "move", "faults"}
        if one.draft is None:
            gone |= {"move", "remove", "faults"}
        elif told.outdated(one):
            gone.discard("rebase")
        if not one.outside:
            gone.add("keep")
        if self.snapshot is None or len(self.snapshot.documents) < 2:
            gone.add("next_endpoint")
        return tuple(name for name in self.actions if name not in gone)

    def row_actions(self) -> tuple[str, ...]:
        """Discarding is found by `x`, where there is little room."""
        return tuple(name for name in self.shown_actions() if name != "remove" or self.ui.size.width >= _ROOMY)

    def named(self, action: Action) -> Action:
        """While it is published, `enter` opens."""
        if action.id == "enter" and (self.document() is None or self.at_publication or self.pane_with_keys() != "main"):
            return replace(action, label="open")
        return super().named(action)

    def why_off(self, action: str) -> str:
        """What the document, its draft and the cursor do not allow just now."""
        from mlconsole.tui.config_off import why_off

        return why_off(self, action)

    def greeting(self) -> str:
        """What a person who comes here may want to know."""
        one, rollout = self.document(), self.publication()
        if one is None:
            return ""
        if rollout is not None:
            if rollout.why:
                return rollout.why
            return "You may leave: it goes on, and goes back by itself on a FAIL." if rollout.driver else ""
        if one.draft is not None and any(entry.changed for entry in one.entries):
            key = self.keys_by_action["move"]
            return f"Draft kept. To move a value to another {one.slice_word}: {key} on its row."
        return ""

    def act_enter(self) -> None:
        """Change the value under the cursor; read the flips, a version, the findings; into the entries while it is published."""
        from mlconsole.tui import configuring

        one, pane = self.document(), self.pane_with_keys()
        if one is None or self.snapshot is None:
            return
        if pane == "what-if":
            self._read_flips(one)
        elif pane == "versions":
            row = self.query_one("#versions", LiveTable).cursor
            version = next((each for each in one.versions if row is not None and str(each.number) == row.key), None)
            if version is not None:
                configuring.show_version(self.ui, one, version)
        elif pane in ("findings", "text", "guards") and not (pane == "guards" and not self.at_publication):
            self._read_pane(pane)
        elif self.at_publication:
            self._inside = True
            self._again()
        else:
            entry, column = self.entry(), self.matrix.cell
            if entry is not None:
                marked = [each for each in one.entries if each.pointer in self.matrix.marked]
                configuring.edit_cells(self.ui, self, one, marked or [entry], column)

    def _read_flips(self, one: DocumentView) -> None:
        from mlconsole.tui.configuring import show_flips

        found, row = self.what_if(one), self.query_one("#what-if", LiveTable).cursor
        if isinstance(found, WhatIfView) and row is not None:
            shown = next((each for each in found.rows if row.key in (each.pointer, f"{each.model}/{each.slice}")), None)
            if shown is not None:
                show_flips(self.ui, found, shown)

    def _read_pane(self, name: str) -> None:
        """All lines of a box that may be too small for them."""
        from mlconsole.tui.dialogs import TextBox

        one = self.document()
        width = min(118, int(self.ui.size.width * 0.96)) - 4
        if one is None:
            return
        rollout = self.publication()
        if name == "guards" and rollout is not None:
            lines = [*evidence.guard_lines(rollout, width, self.signs, self.ui.language), evidence.begun_line(rollout, self.ui.now())]
        elif name == "findings" and one.draft is not None:
            lines = told.finding_lines(one.draft.findings, width, self.signs)
        else:
            self.act_raw()
            return
        self.ui.push_screen(TextBox(f"{name} · config {one.name}", lines or [line(("nothing", DIM))]))

    def act_edit(self) -> None:
        """All of it in the editor."""
        from mlconsole.tui.configuring import open_editor

        one = self.document()
        if one is not None:
            open_editor(self.ui, self, one)

    def act_move(self) -> None:
        """The changed value of the row to another slice."""
        from mlconsole.tui.configuring import move

        one, entry = self.document(), self.entry()
        if one is not None and entry is not None:
            move(self.ui, self, one, entry, told.moved_cell(entry, self.matrix.cell), self.meant.get(one.name, ""))

    def act_rebase(self) -> None:
        """The draft's edits onto what is live by now."""
        from mlconsole.tui.configuring import rebase

        one = self.document()
        if one is not None:
            rebase(self.ui, self, one)

    def act_mark(self) -> None:
        """Mark the entry under the cursor."""
        self.matrix.mark()
        if self.snapshot is not None:
            self.ui.render_all()

    def act_compare(self) -> None:
        """Beside another version, or environment."""
        from mlconsole.tui.configuring import compare

        one = self.document()
        if one is not None:
            compare(self.ui, one)

    def act_raw(self) -> None:
        """The whole file."""
        from mlconsole.tui.configuring import show_text

        one = self.document()
        if one is not None:
            show_text(self.ui, one)

    def act_more(self) -> None:
        """All that can be done here."""
        from mlconsole.tui.palette import open_row_actions

        one, entry = self.document(), self.entry()
        if one is not None:
            open_row_actions(self.ui, told.named(entry) if entry is not None and not self.at_publication else f"config {one.name}")

    def act_publish(self) -> None:
        """The plan that publishes the draft."""
        from mlconsole.tui.publishing import publish

        one = self.document()
        if one is not None:
            publish(self.ui, self, one)

    def act_remove(self) -> None:
        """Throw the draft away."""
        from mlconsole.tui.configuring import discard

        one = self.document()
        if one is not None:
            discard(self.ui, self, one)

    def act_keep(self) -> None:
        """Keep what somebody else published."""
        from mlconsole.tui.configuring import keep

        one = self.document()
        if one is not None:
            keep(self.ui, one)

    def act_pause(self) -> None:
        """Hold what is being published, or let it go on."""
        from mlconsole.tui.rolling import pause

        rollout = self.publication()
        if rollout is not None:
            pause(self.ui, rollout)

    def act_next_stage(self) -> None:
        """The next stage, without its evidence: asks why."""
        from mlconsole.tui.rolling import next_stage

        rollout = self.publication()
        if rollout is not None:
            next_stage(self.ui, rollout)

    def act_go_back(self) -> None:
        """What is being published is taken back; else the plan that restores what the last publication changed."""
        from mlconsole.tui.deploying import go_back

        if self.change() is not None and self.publication() is None:
            self.ui.go_back_now(self.target)
        else:
            go_back(self.ui, self.target)

    def copied(self) -> tuple[str, str]:
        """The draft as a report; else the command that shows what is shown."""
        one, rollout, environment = self.document(), self.publication(), self.ui.environment.name
        if one is None:
            return "", ""
        if rollout is not None and not self._inside:
            return f"mlconsole rollout status {self.target} --env {environment}", f"the command that shows the rollout of config {one.name}"
        if one.draft is not None and self.pane_with_keys() != "versions":
            found = self.what_if(one)
            text = report(one, one.draft, found if isinstance(found, WhatIfView) else None, environment)
            return text, f"the report of the draft of {one.name}"
        return f"mlconsole config show {one.name} --env {environment}", f"the command that shows config {one.name}"
