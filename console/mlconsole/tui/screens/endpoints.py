"""Endpoints, the landing screen: one glance is the state of the world."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal

from mlconsole.core.text import duration
from mlconsole.core.traffic import percent
from mlconsole.engine.views import EndpointView, Snapshot, State, VariantView
from mlconsole.tui import rollout_words
from mlconsole.tui.endpoint_health import HEALTH_COLUMNS, alarm_line, health_cells, state_cell
from mlconsole.tui.pane import Line, Pane, Span, line
from mlconsole.tui.rolling_view import ROLLOUT_ACTIONS, RollingView
from mlconsole.tui.rollout_words import result_line, rollout_of
from mlconsole.tui.signs import BOLD, CYAN, DIM, MAGENTA, STATE_STYLES, YELLOW
from mlconsole.tui.table import Column, LiveTable, Row

_COLUMNS = (
    Column("name", "ENDPOINT", least=10, most=24, keep=100),
    Column("state", "STATE", least=9, most=22, keep=90),
    Column("live", "LIVE", least=14, most=60, grows=True, keep=80),
    Column("rate", "REQ/S", right=True, least=6, keep=60),
    Column("errors", "ERR %", right=True, least=5, keep=50),
    *HEALTH_COLUMNS,
    Column("release", "RELEASE", right=True, least=7, keep=20),
    Column("changed", "CHANGED", right=True, least=8, keep=30),
)
_VARIANTS = (
    Column("name", "VARIANT", least=8, most=20, keep=100),
    Column("version", "VERSION", most=22, keep=40),
    Column("state", "STATUS", most=24, keep=60),
    Column("on", "RUNS ON", most=26, grows=True, keep=10),
    Column("desired", "DESIRED", right=True, least=8, keep=90),
    Column("reported", "REPORTED", right=True, least=8, keep=85),
    Column("observed", "OBSERVED", right=True, least=8, keep=95),
)


class EndpointsView(RollingView):
    """Worst first; below: the variants of the one under the cursor, its way back, and what happened there."""

    screen_name = "endpoints"
    actions: ClassVar[tuple[str, ...]] = (
        "enter",
        "logs",
        "invoke",
        "copy",
        "raw",
        "more",
        "faults",
        "sort",
        "pause",
        "go_back",
        "deploy",
        "traffic",
        "rollout",
        "next_stage",
        "keep",
        "remove",
        "evidence",
        "roll_forward",
        "keep_old",
    )
    help_text = "Every endpoint of this environment, worst first: what is live, what is asked of it, how it does."

    DEFAULT_CSS = """
    EndpointsView > #top { height: 1fr; }
    EndpointsView > #middle { height: 8; }
    EndpointsView > #middle > #back { width: 38; }
    EndpointsView > #happened { height: 7; }
    EndpointsView.-narrow > #middle > #back { display: none; }
    """

    def compose(self) -> ComposeResult:
        """The table; variants beside the way back; what happened."""
        signs = self.signs
        empty = [
            line(("No endpoint yet.", BOLD)),
            line("1 shows the registered versions; D on one of them deploys it."),
            line(("mlconsole models register MODEL@VERSION PATH registers your own.", DIM)),
        ]
        table = LiveTable(_COLUMNS, "endpoints", id="main", hint="worst first · s sort", joints=("tl", "tr"), empty=empty, signs=signs)
        table.styles.height = "1fr"
        yield table
        with Horizontal(id="middle"):
            yield LiveTable(_VARIANTS, "", id="variants", edges="l", joints=("l", ""), signs=signs)
            yield Pane("way back", id="back", edges="lr", joints=("t", "r"), focusable=False, signs=signs)
        yield Pane("what happened here", id="happened", hint="6 for all of it", edges="lrb", signs=signs)
        yield self.phone_pane()

    def fit(self, width: int, height: int) -> None:
        """One pane below 100 columns; fewer lines of history on a low screen."""
        narrow = width < 100
        self.set_class(narrow, "-narrow")
        self.query_one("#variants", LiveTable).edged("lr" if narrow else "l", ("l", "r" if narrow else ""))
        self.query_one("#happened", Pane).edged("lrb", ("l", "r"), ends=None if narrow else width - 38)
        # The endpoints themselves come first: on the lowest screens three of them stay in sight.
        self.query_one("#middle").styles.height = 8 if height >= 28 else 7 if height >= 24 else 5
        self.query_one("#happened").styles.height = 7 if height >= 28 else 5 if height >= 24 else 4

    # What is shown.

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """The table from the snapshot, and the rest from the endpoint under the cursor."""
        found = [one for one in snapshot.status.endpoints if not self.ui.faults_only or one.state is not State.OK]
        table = self.query_one("#main", LiveTable)
        table.set_columns(_COLUMNS if snapshot.health is not None else tuple(column for column in _COLUMNS if column not in HEALTH_COLUMNS))
        table.fill([self._row(one, snapshot) for one in found], dimmed=bool(snapshot.blind))
        if table.cursor is not None:
            self.ui.subject = table.cursor.key
        self._render_subject(snapshot)

    def shown(self, snapshot: Snapshot) -> str:
        """How many of how many."""
        total = len(snapshot.status.endpoints)
        table = self.query("#main").first(LiveTable) if self.query("#main") else None
        return f"{len(table.rows) if table else total} of {total}"

    def _row(self, endpoint: EndpointView, snapshot: Snapshot) -> Row:
        rate = endpoint.recent / endpoint.recent_seconds if endpoint.recent_seconds else None
        errors = 100 * endpoint.recent_failed / endpoint.recent if endpoint.recent else None
        age = (snapshot.status.at - endpoint.changed).total_seconds() if endpoint.changed else None
        health = snapshot.health.endpoint(endpoint.name) if snapshot.health is not None else None
        return Row(
            endpoint.name,
            {
                "name": (endpoint.name, BOLD),
                "state": state_cell(endpoint, health, self.signs, rollout_of(snapshot, endpoint.name)),
                "live": endpoint.content,
                "rate": f"{rate:.1f}" if rate is not None else "–",
                "errors": (f"{errors:.1f}", YELLOW if errors else "") if errors is not None else ("–", DIM),
                "release": f"#{endpoint.release}" if endpoint.release else "–",
                "changed": _age(age),
                **health_cells(health),
            },
            text=f"{endpoint.name} {endpoint.content} {endpoint.state} {' '.join(v.model + '@' + v.version for v in endpoint.variants)}",
        )

    def _render_subject(self, snapshot: Snapshot) -> None:
        endpoint = self.subject()
        variants, back, happened = self.query_one("#variants", LiveTable), self.query_one("#back", Pane), self.query_one("#happened", Pane)
        if endpoint is None:
            for pane in (back, happened):
                pane.show([])
            variants.fill([])
            return
        release = f" · #{endpoint.release}" if endpoint.release else " · not adopted"
        narrow = self.has_class("-narrow")
        variants.head(f"{endpoint.name}{release}", f"u {endpoint.way_back}" if narrow and endpoint.way_back else "")
        variants.fill([self._variant(endpoint, one) for one in endpoint.variants], dimmed=endpoint.state is State.NO_DATA)
        back.show(way_back_lines(endpoint, snapshot, back.inner_width), dimmed=bool(snapshot.blind))
        happened.show(self._happened(endpoint, snapshot), dimmed=False)

    def _variant(self, endpoint: EndpointView, one: VariantView) -> Row:
        on = " ".join(f"{key} {value}" for key, value in one.resources.items() if key in ("pid", "machines", "memory"))
        state_style = "red" if one.state == "failed" else CYAN if one.state == "creating" else ""
        return Row(
            one.name,
            {
                "name": (one.name, BOLD),
                "version": f"{one.model}@{one.version}",
                "state": (f"{one.state}{f': {one.reason}' if one.reason else ''}", state_style),
                "on": (on, DIM),
                "desired": share_text(one.desired),
                "reported": share_text(one.reported),
                "observed": observed_cell(one),
            },
        )

    def _happened(self, endpoint: EndpointView, snapshot: Snapshot) -> list[Line]:
        lines: list[Line] = []
        if endpoint.finding:
            lines.append(line((f"{self.signs.of(endpoint.state)} {endpoint.finding}", STATE_STYLES[endpoint.state])))
            if endpoint.next:
                lines.append(line((f"  {endpoint.next}", DIM)))
        for alarm in snapshot.health.alarms if snapshot.health is not None else ():
            if endpoint.name in alarm.endpoints:
                lines.append(alarm_line(alarm, self.signs))
        rollout = rollout_of(snapshot, endpoint.name)
        if rollout is not None:
            stage = rollout_words.stages_line(rollout, self.query_one("#happened", Pane).inner_width - 2, self.signs)
            lines.append(line(("~ ", CYAN), *stage))
        return [*lines, *history_lines(endpoint.name, snapshot, self.signs)]

    def phone_lines(self, snapshot: Snapshot) -> list[Line]:
        """The worst first; then the one under the cursor in full."""
        lines: list[Line] = []
        for endpoint in snapshot.status.endpoints[:8]:
            here = endpoint.name == self.ui.subject
            cursor = self.signs.cursor if here else " "
            lines.append(
                line(
                    (f"{cursor}{self.signs.of(endpoint.state)} ", STATE_STYLES[endpoint.state]),
                    (endpoint.name, BOLD),
                    f"  {endpoint.content}",
                )
            )
        if not lines:
            lines = [line("No endpoint yet. 1 shows versions.")]
        chosen = self.subject()
        if chosen is not None:
            lines.append(line(""))
            if chosen.finding:
                lines += wrapped(chosen.finding, 46, STATE_STYLES[chosen.state])
            for one in chosen.variants:
                seen = "not observed" if one.observed is None else f"{one.observed / 100:.1f} %"
                lines.append(
                    line((f"{one.name:<6}", BOLD), f" {one.state:<9}{share_text(one.desired):>8}  seen ", (seen, observed_style(one)))
                )
            if chosen.recent_seconds:
                lines.append(line(f"{chosen.recent / chosen.recent_seconds:.1f} req/s, {chosen.recent_failed} failed"))
            if chosen.way_back:
                lines += wrapped(f"u {chosen.way_back}", 46, "")
        return lines

    # What can be done.

    def open_subject(self, name: str) -> None:
        """Put the cursor on it."""
        if self.query("#main"):
            self.query_one("#main", LiveTable).go_to(name)

    def on_pane_moved(self, event: Pane.Moved) -> None:
        """Another endpoint is the subject."""
        if event.pane.id == "main" and self.snapshot is not None:
            self.ui.subject = event.key
            self._render_subject(self.snapshot)
            self.refresh_phone(self.snapshot)
            self.ui.render_keys()

    async def on_pane_chosen(self, event: Pane.Chosen) -> None:
        """Into it: the canary of an endpoint."""
        await self.ui.open_screen("canary")

    async def act_enter(self) -> None:
        """Into the endpoint under the cursor."""
        await self.ui.open_screen("canary")

    def why_off(self, action: str) -> str:
        """What the endpoint under the cursor does not allow just now."""
        endpoint = self.subject()
        if action in ("faults", "sort", "help", "deploy"):
            return ""
        if endpoint is None:
            return "There is no endpoint under the cursor."
        return self.rollout_off(action, endpoint) if action in ROLLOUT_ACTIONS else endpoint_why_off(action, endpoint)

    def act_deploy(self) -> None:
        """Choose a version, and plan its deployment behind this endpoint."""
        from mlconsole.tui.deploying import choose_version

        choose_version(self.ui, self.ui.subject or None)

    async def act_traffic(self) -> None:
        """Shares are staged on Canary."""
        await self.ui.open_screen("canary")
        self.ui.say("Stage shares with ←→ or a number, then T.")

    def act_go_back(self) -> None:
        """The plan that goes back, or a running change stopped."""
        from mlconsole.tui.deploying import go_back

        go_back(self.ui, self.ui.subject)

    def act_logs(self) -> None:
        """What the variant wrote."""
        from mlconsole.tui.deploying import show_logs

        row = self.query_one("#variants", LiveTable).cursor
        show_logs(self.ui, self.ui.subject, row.key if row else None)

    def act_invoke(self) -> None:
        """Ask it."""
        from mlconsole.tui.deploying import invoke

        invoke(self.ui, self.ui.subject)

    def act_raw(self) -> None:
        """Everything that is known of it."""
        from mlconsole.tui.deploying import show_raw

        show_raw(self.ui, self.subject())

    def act_keep(self) -> None:
        """Keep what is live."""
        from mlconsole.tui.deploying import keep

        keep(self.ui, self.ui.subject)

    def act_remove(self) -> None:
        """Remove by name."""
        from mlconsole.tui.deploying import remove

        remove(self.ui, self.subject())

    def act_more(self) -> None:
        """All that can be done with this row."""
        from mlconsole.tui.palette import open_row_actions

        open_row_actions(self.ui)

    def act_sort(self) -> None:
        """Worst first, by name, by requests, by errors, by change."""
        orders: list[tuple[str, Any]] = [
            ("worst first", None),
            ("by name", lambda row: row.key),
            ("by requests", lambda row: -_number(row.cells["rate"])),
            ("by errors", lambda row: -_number(row.cells["errors"])),
        ]
        table = self.query_one("#main", LiveTable)
        self._order = (getattr(self, "_order", 0) + 1) % len(orders)
        name, key = orders[self._order]
        table.sort_by(name, key)
        table.head("endpoints", f"{name} · s sort")

    def copied(self) -> tuple[str, str]:
        """The request for curl, else the command that shows it."""
        endpoint = self.subject()
        if endpoint is None:
            return "", ""
        return f"mlconsole endpoints show {endpoint.name} --env {endpoint.environment}", "the command that shows this endpoint"


def endpoint_why_off(action: str, endpoint: EndpointView) -> str:
    """Why an action on this endpoint is off; the same on every screen."""
    if action == "go_back":
        if endpoint.operation is None and endpoint.release is None:
            return f"u is off: mlconsole did not make {endpoint.name}; K takes it over as it is."
        if endpoint.operation is None and endpoint.way_back.startswith("none"):
            return f"u is off: nothing to go back to, #{endpoint.release} is the first release of {endpoint.name} that stood."
        if endpoint.operation is None and _went_back(endpoint):
            return f"u is off: #{endpoint.release} went back already, so a release has to be named. 6, then u on the one that is meant."
    if action == "keep" and not (endpoint.release is None or "changed outside" in endpoint.finding):
        return f"K is off: {endpoint.name} is as mlconsole left it; there is nothing to keep."
    if action in ("traffic", "remove") and endpoint.release is None:
        return f"Off: mlconsole did not make {endpoint.name}; K takes it over as it is."
    if action in ("traffic", "remove", "keep") and endpoint.operation is not None:
        return f"Off: {endpoint.name} is changing ({endpoint.operation.doing or endpoint.operation.state}). u goes back."
    return ""


def _went_back(endpoint: EndpointView) -> bool:
    """The live release is a revert: going back from there would be going forward, so somebody has to say where to."""
    return endpoint.way_back.startswith("this is a revert already") and "changed outside" not in endpoint.finding


def way_back_lines(endpoint: EndpointView, snapshot: Snapshot, width: int) -> list[Line]:
    """What `u` would do, in the place where it always is."""
    if snapshot.blind:
        return wrapped(f"off: {snapshot.blind}", width, "")
    rollout = rollout_of(snapshot, endpoint.name)
    if rollout is not None:
        if "revert" not in rollout.controls:
            return wrapped(f"{rollout.state}: it ends by itself", width, CYAN)
        return [
            *rollout_words.folded(rollout_words.back_told(rollout), width, first="u  "),
            *wrapped("guards do it alone on a FAIL", width, ""),
        ]
    if endpoint.operation is not None:
        lines = [line(("u  ", BOLD), "stops the change and goes back")]
        return lines + wrapped(f"   to {endpoint.operation.back_to}", width, "")
    if not endpoint.way_back or endpoint.way_back.startswith("none"):
        return [line(("nothing to go back to", DIM))]
    if _went_back(endpoint):
        return [*wrapped(f"off: #{endpoint.release} went back already", width, DIM), *wrapped("6, then u on a release", width, "")]
    pieces = wrapped(endpoint.way_back, width - 3, "")
    return [line(("u  ", BOLD), *pieces[0]), *(line("   ", *piece) for piece in pieces[1:])]


def history_lines(name: str, snapshot: Snapshot, signs: Any) -> list[Line]:
    """The changes of an endpoint, and the rollouts that ended in the last day, newest first."""
    told = [(one.started, 0, change_line(one, signs)) for one in snapshot.changes if one.endpoint == name]
    told += [(one.ended or one.started, 1, result_line(one, snapshot.status.at, signs)) for one in rollout_words.ended_of(snapshot, name)]
    return [each for _, _, each in sorted(told, key=lambda one: one[:2], reverse=True)]


def change_line(change: Any, signs: Any) -> Line:
    """A change in one line: when, what, who, how it went."""
    result = {"done": (f"{signs.ok} #{change.release}", "green"), "went back": (f"{signs.failing} went back", "red")}
    state = "interrupted" if change.interrupted else change.state
    told: Span = result.get(state, (f"~ {state}", CYAN))
    when = change.started.astimezone().strftime("%d %b %H:%M")
    skipped = f"  {signs.look} skipped {', '.join(change.skipped_gates)}" if change.skipped_gates else ""
    what = f"{change.kind:<8} {signs.plain(change.then)}  "
    return line((f"{when}  ", DIM), what, told, (skipped, YELLOW), (f"  {change.who}", DIM), f"  {change.reason}")


def share_text(share: int | None) -> str:
    """A share as `90 %`; a dash where there is none."""
    return "–" if share is None else f"{percent(share)} %"


def observed_style(one: VariantView) -> str:
    """Magenta when the observed share lies beyond chance from the desired one."""
    from mlconsole.core.observed import Shares, beyond_chance

    if one.observed is None or one.desired is None:
        return DIM
    shares = Shares(one.observed_n, {one.name: round(one.observed * one.observed_n / 10_000)})
    return MAGENTA if one.observed_n >= 30 and beyond_chance(shares, one.name, one.desired) else ""


def observed_cell(one: VariantView) -> Span:
    """The third column: never a guess, never 0 for nothing."""
    return ("–", DIM) if one.observed is None else (f"{one.observed / 100:.1f} %", observed_style(one))


def wrapped(text: str, width: int, words: str) -> list[Line]:
    """A text in lines of at most so many characters."""
    import textwrap

    return [line((piece, words)) for piece in textwrap.wrap(text, max(8, width), break_on_hyphens=False) or [""]]


def _age(seconds: float | None) -> str:
    return "–" if seconds is None else "now" if seconds < 60 else duration(max(120, seconds))


def _number(cell: Any) -> float:
    text = cell if isinstance(cell, str) else cell[0]
    try:
        return float(text)
    except ValueError:
        return -1.0
