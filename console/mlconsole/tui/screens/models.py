"""Models: is this version good enough, where does it run, what does it replace?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal

from mlconsole.core.models import variant_name
from mlconsole.engine.comparing import beside
from mlconsole.engine.views import Snapshot, VersionView
from mlconsole.tui.pane import Line, Pane, line
from mlconsole.tui.screens import versions
from mlconsole.tui.screens.endpoints import wrapped
from mlconsole.tui.screens.versions import Going, Shelf
from mlconsole.tui.signs import BOLD, DIM
from mlconsole.tui.table import Column, LiveTable, Row
from mlconsole.tui.view import PHONE, WIDE, View

if TYPE_CHECKING:
    from mlconsole.tui.app import ConsoleApp

_COLUMNS = (
    Column("name", "VERSION", least=10, most=26, keep=100),
    Column("state", "STATE", least=9, most=11, keep=90),
    Column("runs", "RUNS IN", least=13, most=60, grows=True, keep=80),
    Column("age", "AGE", right=True, least=5, keep=50),
    Column("commit", "COMMIT", least=7, most=13, keep=40),
    Column("figure", "METRIC", right=True, least=6, most=20, keep=70),
)


class ModelsView(View):
    """The versions; what deploying the one under the cursor would do; the same beside the one it replaces."""

    screen_name = "models"
    actions: ClassVar[tuple[str, ...]] = ("enter", "mark", "compare", "raw", "copy", "more", "sort", "deploy", "rollout", "register")
    help_text = "Every registered version: where it runs, how good it is beside the one that is live, and what deploying it would do."

    DEFAULT_CSS = """
    ModelsView > #below { display: none; height: 3; }
    ModelsView > #beside { height: 1fr; }
    ModelsView.-narrow > #below { display: block; }
    ModelsView.-narrow > #top > #going { display: none; }
    """

    def __init__(self, ui: ConsoleApp) -> None:
        super().__init__(ui)
        self._shelf: Shelf | None = None
        self._drawn: tuple[Any, ...] = ()
        """What the rows were made of; while it is the same, ten thousand rows cost nothing."""
        self._golden: dict[str, int | None] = {}
        """How many golden queries each model has here; None: not told yet."""
        self._wanted = ""
        """The endpoint, or the version, that the cursor has to go to as soon as it is there."""
        self._order = 0

    def compose(self) -> ComposeResult:
        """Versions beside what going forward would do; two versions beside each other."""
        signs = self.signs
        empty = [
            line(("No version is registered yet.", BOLD)),
            line("G registers one: its file or folder, with a model.yaml beside it."),
            line(("mlconsole models register --template prints a model.yaml to fill in.", DIM)),
        ]
        with Horizontal(id="top"):
            yield LiveTable(_COLUMNS, "versions", id="main", edges="l", joints=("tl", ""), empty=empty, signs=signs)
            yield Pane("if you deploy", id="going", edges="lr", joints=("t", "tr"), focusable=False, signs=signs)
        yield Pane("if you deploy", id="below", edges="lr", focusable=False, signs=signs)
        yield Pane("", id="beside", edges="lrb", signs=signs)
        phone = self.phone_pane()
        phone.can_focus = False  # up and down move the cursor there, always
        yield phone

    def fit(self, width: int, height: int) -> None:
        """Two panes from 100 columns; below, box under box."""
        narrow, body = PHONE <= width < WIDE, height - 6
        self.set_class(narrow, "-narrow")
        self.query_one("#top").styles.height = max(5, body - 3 - max(5, body // 2 - 1)) if narrow else max(8, round(body * 0.42))
        right = 34 if width < 116 else 36 if width < 140 else 52
        self.query_one("#going").styles.width = right
        self.query_one("#main", LiveTable).edged("lr" if narrow else "l", ("tl", "tr" if narrow else ""))
        self.query_one("#beside", Pane).edged("lrb", ("l", "r"), ends=None if narrow else width - right)

    # What is shown.

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """The table, when something in it is another; the rest from the version under the cursor."""
        table = self.query_one("#main", LiveTable)
        drawn = (self.ui.language, versions.leading_versions(snapshot), snapshot.versions)
        if self._shelf is None or drawn[:2] != self._drawn[:2] or drawn[2] is not self._drawn[2]:
            self._drawn, self._shelf = drawn, Shelf.of(snapshot)
            shelf = self._shelf
            ordered = (one for model in sorted(shelf.of_model) for one in shelf.of_model[model])
            table.fill([versions.version_row(shelf, one, self.ui.language) for one in ordered])
        elif self._shelf.at != snapshot.status.at:
            self._shelf.at = snapshot.status.at
            table.redraw()
        table.head("versions", f"{versions.ORDERS[self._order][0]} · s sort")
        self._go_to_wanted(table, self._shelf)
        self._render_subject(snapshot)

    def shown(self, snapshot: Snapshot) -> str:
        """How many of how many."""
        table = self.query("#main").first(LiveTable) if self.query("#main") else None
        return f"{len(table.rows) if table else len(snapshot.versions)} of {len(snapshot.versions)} · / filter"

    def version(self) -> VersionView | None:
        """The version under the cursor."""
        row = self.query_one("#main", LiveTable).cursor if self._shelf is not None else None
        return self._shelf.by_name.get(row.key) if row is not None and self._shelf is not None else None

    def _other(self, version: VersionView) -> VersionView | None:
        """What it is shown beside."""
        return self._shelf.other_than(version, sorted(self.query_one("#main", LiveTable).marked)) if self._shelf is not None else None

    def _going(self, version: VersionView, snapshot: Snapshot) -> Going:
        assert self._shelf is not None
        return Going(self._shelf, version, snapshot.endpoint(version.endpoint), self._gates(version), self.ui.why_off("deploy"))

    def _render_subject(self, snapshot: Snapshot) -> None:
        version = self.version()
        wide, narrow, shown = (self.query_one(name, Pane) for name in ("#going", "#below", "#beside"))
        if version is None or self._shelf is None:
            for pane in (wide, narrow, shown):
                pane.head("")
                pane.show([])
            return
        self._count_golden(version.model)
        title, going = f"if you deploy {variant_name(version.version)}", self._going(version, snapshot)
        wide.head(title)
        wide.show(going.lines(wide.inner_width, self.signs))
        narrow.head(title)
        narrow.show(going.short(self.signs))
        other = self._other(version)
        if other is None:
            from mlconsole.tui.deploying import version_lines

            shown.head(f"{version.name}, the only version of {version.model}")
            shown.show(version_lines(version, shown.inner_width))
            return
        found = beside(other, version, self.ui.language)
        shown.head(versions.pair(version, other, shown.inner_width), f"{versions.tally(found, self.signs)} {self.signs.dot} c other pair")
        shown.show(versions.beside_lines(self._shelf, other, version, found, shown.inner_width, self.signs))

    def _gates(self, version: VersionView) -> str:
        if self.ui.workspace.golden_for(version.model, self.ui.environment.name) is None:
            return "load (no golden queries)"
        count = self._golden.get(version.model)
        return f"load, golden queries{f' {count}' if count else ''}"

    def _count_golden(self, model: str) -> None:
        """Ask once for each model: it reads a file."""
        if model in self._golden or self.ui.workspace.golden_for(model, self.ui.environment.name) is None:
            return
        self._golden[model] = None

        def call(session: Any) -> int:
            from mlconsole.engine.gates import golden_queries

            return len(golden_queries(session, model))

        def counted(count: int) -> None:
            self._golden[model] = count
            if self.snapshot is not None and self.is_mounted:
                self._render_subject(self.snapshot)
                self.refresh_phone(self.snapshot)

        self.ui.ask_quietly(call, counted)

    def phone_lines(self, snapshot: Snapshot) -> list[Line]:
        """Some versions around the cursor; what deploying would do; the figures, then what has to be judged."""
        table, version = self.query_one("#main", LiveTable), self.version()
        if version is None or self._shelf is None:
            said = "Nothing fits the filter; esc clears it." if snapshot.versions else "No version is registered yet. G registers one."
            return wrapped(said, 46, "")
        begin = max(0, min(table.place - 2, len(table.rows) - 5))
        keys = [row.key for row in table.rows[begin : begin + 5]]
        lines = versions.phone_rows(self._shelf, keys, version.name, table.marked, self.ui.language, self.signs)
        lines += [line(""), *versions.phone_going(self._going(version, snapshot))]
        other = self._other(version)
        return [*lines, line(""), *versions.phone_beside(version, other, self.ui.language, self.signs)] if other else lines

    # What can be done.

    def open_subject(self, name: str) -> None:
        """The cursor to the newest version of an endpoint's model, unless it is on one of them."""
        version = self.version()
        if version is None or version.endpoint != name:
            self._wanted = name

    def _go_to_wanted(self, table: LiveTable, shelf: Shelf) -> None:
        if not self._wanted:
            return
        row = next((row for row in table.rows if self._wanted in (row.key, shelf.by_name[row.key].endpoint)), None)
        if row is not None:
            self._wanted = ""
            table.go_to(row.key)
        elif "@" not in self._wanted:
            self._wanted = ""  # an endpoint without versions of its own; a version that was just registered is waited for

    def on_pane_moved(self, event: Pane.Moved) -> None:
        """Another version is the subject, and its endpoint that of the other screens."""
        version = self.version()
        if event.pane.id == "main" and self.snapshot is not None and version is not None:
            self.ui.subject = version.endpoint
            self._render_subject(self.snapshot)
            self.refresh_phone(self.snapshot)
            self.ui.render_keys()

    def on_pane_chosen(self, event: Pane.Chosen) -> None:
        """A click on the cursor's row."""
        self.ui.do("enter")

    def act_enter(self) -> None:
        """Everything that is known of the version, and all of the comparison."""
        from mlconsole.tui.deploying import version_lines
        from mlconsole.tui.dialogs import TextBox

        version = self.version()
        if version is None or self._shelf is None:
            return
        width = min(118, int(self.ui.size.width * 0.96)) - 4
        lines, other = version_lines(version, width), self._other(version)
        if other is not None:
            found = beside(other, version, self.ui.language)
            lines += [line(""), line((f"beside {other.name}", BOLD), f"  {versions.tally(found, self.signs)}")]
            lines += versions.beside_lines(self._shelf, other, version, found, width, self.signs)
        self.ui.push_screen(TextBox(version.name, lines))

    def act_raw(self) -> None:
        """The same for machines."""
        from mlconsole.tui.deploying import show_raw

        show_raw(self.ui, self.version())

    def act_mark(self) -> None:
        """Mark the version that others are shown beside; once more: the live one again."""
        table = self.query_one("#main", LiveTable)
        if table.cursor is not None:
            self._mark(set() if table.cursor.key in table.marked else {table.cursor.key})

    def _mark(self, names: set[str]) -> None:
        table = self.query_one("#main", LiveTable)
        table.marked = names
        table.redraw()
        beside_what = f"{next(iter(names))}; space on it, or esc, takes the mark away" if names else "the live one again"
        self.ui.say(f"Versions of its model are shown beside {beside_what}." if names else f"Versions are shown beside {beside_what}.")
        self.ui.render_all()

    def act_compare(self) -> None:
        """Choose what the version under the cursor is shown beside."""
        from mlconsole.tui.dialogs import Choice, Option

        version, shelf = self.version(), self._shelf
        if version is None or shelf is None:
            return
        others = [one for one in shelf.of_model[version.model] if one.name != version.name]
        options = [Option(one.name, one.name, f"{shelf.state(one):<12} {one.description}") for one in others]
        self.ui.push_screen(Choice(f"{version.name} beside which", options), lambda name: self._mark({name}) if name else None)

    def act_out(self) -> None:
        """Out: first of the mark."""
        table = self.query_one("#main", LiveTable)
        if table.marked:
            self._mark(set())
        else:
            self.ui.act_out()

    def act_sort(self) -> None:
        """By model, newest, running, best."""
        self._order = (self._order + 1) % len(versions.ORDERS)
        name, order = versions.ORDERS[self._order]
        table = self.query_one("#main", LiveTable)

        def by(row: Row) -> Any:
            assert self._shelf is not None
            assert order is not None
            return order(self._shelf, self._shelf.by_name[row.key], self.ui.language)

        table.sort_by(name, by if order is not None else None)
        table.head("versions", f"{name} · s sort")

    def act_more(self) -> None:
        """All that can be done with this version."""
        from mlconsole.tui.palette import open_row_actions

        open_row_actions(self.ui)

    def act_deploy(self) -> None:
        """With which share, then the plan."""
        from mlconsole.tui.deploying import ask_share

        version = self.version()
        if version is not None:
            ask_share(self.ui, version, None)

    def act_rollout(self) -> None:
        """The plan of a rollout behind its endpoint."""
        from mlconsole.tui.rolling import plan

        version = self.version()
        if version is not None:
            plan(self.ui, version, version.endpoint)

    def shown_actions(self) -> tuple[str, ...]:
        """The key that begins a rollout only where there are policies."""
        policies = bool(self.snapshot and self.snapshot.policies)
        return tuple(name for name in self.actions if name != "rollout" or policies)

    def act_register(self) -> None:
        """Register another version; the cursor goes there."""
        from mlconsole.tui.deploying import register

        def registered(name: str) -> None:
            self._wanted = name

        register(self.ui, registered)

    def why_off(self, action: str) -> str:
        """What the version under the cursor does not allow just now."""
        if action in ("sort", "help", "register"):
            return ""
        version = self.version()
        if version is None:
            return "There is no version under the cursor." + (" G registers one." if self.snapshot and not self.snapshot.versions else "")
        if action in ("compare", "mark") and self._other(version) is None:
            return f"{version.name} is the only version of {version.model}: there is nothing to compare it with."
        if action == "rollout":
            from mlconsole.tui.rolling import rollout_why_off

            there = self.snapshot.endpoint(version.endpoint) if self.snapshot else None
            return rollout_why_off(there, self.snapshot, version.endpoint, self.ui.actions_by_id[action].key)
        if action == "deploy" and self.snapshot is not None:
            return versions.deploy_why_off(self.snapshot.endpoint(version.endpoint))
        return ""

    def copied(self) -> tuple[str, str]:
        """The command that deploys it."""
        version = self.version()
        if version is None:
            return "", ""
        return f"mlconsole deploy {version.name} --env {self.ui.environment.name}", f"the command that deploys {version.name}"
