"""Canary: who gets which share. Sliders stage it, T makes one plan of all that is staged, and observed walks to desired."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from mlconsole.engine.views import EndpointView, OperationView, RolloutView, Snapshot, State, StepView
from mlconsole.tui import deploying, drafts, rollout_panes, shares
from mlconsole.tui.pane import Line, Pane, Under, line
from mlconsole.tui.rollout_words import ended_of, result_line, rollout_of, way_back_short
from mlconsole.tui.rollout_words import way_back_lines as way_back
from mlconsole.tui.screens.endpoints import history_lines, way_back_lines, wrapped
from mlconsole.tui.signs import BOLD, CYAN, DIM, RED, STATE_STYLES, YELLOW
from mlconsole.tui.slider import Sliders
from mlconsole.tui.staging import StagingView, can_move
from mlconsole.tui.steps import Steps
from mlconsole.tui.table import Column

_SLIDERS = (
    Column("name", "VARIANT", least=9, most=18, keep=100),
    Column("bar", "SHARE", least=6, grows=True, keep=70),
    Column("desired", "DESIRED", right=True, least=12, most=22, keep=95),
    Column("reported", "REPORTED", right=True, least=8, keep=60),
    Column("observed", "OBSERVED", right=True, least=8, keep=98),
)
_PHONE, _PHONE_ROWS = 46, 6
_BACK = 36
"""Columns of the way back, where it stands beside."""


class CanaryView(StagingView):
    """Who gets what, live and staged; beside it the way back; below the steps of the change, and what happened."""

    screen_name = "canary"
    actions: ClassVar[tuple[str, ...]] = (
        "less",
        "greater",
        "edit",
        "enter",
        "next_endpoint",
        "logs",
        "invoke",
        "copy",
        "more",
        "raw",
        "as_for_all",
        "pause",
        "keep_old",
        "roll_forward",
        "go_back",
        "traffic",
        "next_stage",
        "evidence",
        "rollout",
        "deploy",
    )
    help_text = "What each variant gets. Slide it, then T plans all that is staged: what one gains the stable one loses."

    DEFAULT_CSS = """
    CanaryView > #top { height: 1fr; }
    CanaryView > #top > #back { width: 36; }
    CanaryView > #top > #left > #main { height: 1fr; }
    CanaryView > #top > #left > #rollout { height: 2; }
    CanaryView .-absent { display: none; }
    CanaryView > #top > #left > #under { height: 2; display: none; }
    CanaryView.-narrow > #top > #back { display: none; }
    CanaryView.-narrow > #top > #left > #under { display: block; }
    """

    def compose(self) -> ComposeResult:
        """Sliders beside the way back; steps; what happened."""
        signs = self.signs
        empty = [line(("No endpoint yet.", BOLD)), line("1 shows the registered versions; D on one of them deploys it.")]
        with Horizontal(id="top"):
            with Vertical(id="left"):
                yield Pane("", id="rollout", edges="l", joints=("tl", ""), focusable=False, signs=signs)
                yield Sliders(_SLIDERS, "", id="main", edges="lr", joints=("tl", "tr"), empty=empty, signs=signs)
                yield Under("", id="under", focusable=False, signs=signs)
            yield Pane("way back", id="back", edges="lr", joints=("t", "tr"), focusable=False, signs=signs)
        yield from rollout_panes.compose(signs)
        yield Steps(self._read_steps, id="steps", signs=signs)
        yield Pane("what happened here", id="happened", hint="6 for all of it", edges="lrb", signs=signs)
        yield self.phone_pane()

    def fit(self, width: int, height: int) -> None:
        """One pane below 100 columns; fewer steps and less history on a low screen."""
        self.set_class(width < 100, "-narrow")
        self.sliders.edged(*(("lr", ("tl", "tr")) if width < 100 else ("l", ("tl", ""))))
        self.query_one(Steps).edged("lr", ("l", "r"), ends=width - _BACK if width >= 100 else None)
        steps, happened = (10, 10) if height >= 36 else (7, 7) if height >= 28 else (5, 3) if height >= 23 else (4, 3)
        self.query_one("#steps").styles.height = steps
        self.query_one("#happened").styles.height = happened
        if rollout_of(self.snapshot, self.ui.subject) is None:
            rollout_panes.hide(self)

    # What is shown.

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """The endpoint that was chosen, else the first."""
        if snapshot.endpoint(self.ui.subject) is None:
            self.ui.subject = snapshot.status.endpoints[0].name if snapshot.status.endpoints else ""
        self._render_subject(snapshot)

    def shown(self, snapshot: Snapshot) -> str:
        """Which endpoint, and its release."""
        endpoint = snapshot.endpoint(self.ui.subject)
        return f"{endpoint.name} · #{endpoint.release}" if endpoint and endpoint.release else endpoint.name if endpoint else ""

    def _render_subject(self, snapshot: Snapshot) -> None:
        endpoint = self.subject()
        sliders, under, back = self.sliders, self.query_one("#under", Under), self.query_one("#back", Pane)
        if endpoint is None:
            rollout_panes.hide(self)
            sliders.head("canary")
            sliders.set_levels([])
            for pane in (under, back, self.query_one("#happened", Pane)):
                pane.show([])
            self.query_one(Steps).follow(None)
            return
        dimmed = bool(snapshot.blind) or endpoint.state is State.NO_DATA
        live, then = drafts.live_traffic(endpoint), self.then(endpoint)
        found = shares.targets(endpoint, snapshot, then, self.ui.language)
        rollout = rollout_of(snapshot, endpoint.name)
        sliders.set_columns(rollout_panes.columns(_SLIDERS, rollout))
        if rollout is not None:
            self._render_rollout(snapshot, endpoint, rollout, rollout_panes.only_new(found, rollout), dimmed=dimmed)
            return
        rollout_panes.hide(self)
        sliders.head(self._title(endpoint), f"failed {endpoint.failed} of {endpoint.requests}" if endpoint.requests else "")
        sliders.set_levels([shares.row_of(target, endpoint, live, then) for target in found], dimmed=dimmed)
        way = way_back_lines(endpoint, snapshot, back.inner_width)
        back.show([*way, *self._doing(snapshot, endpoint, back.inner_width), line(""), *self._staged_lines(endpoint)])
        under.show([self._staged_line(endpoint), way_back_lines(endpoint, snapshot, under.inner_width)[0]])
        self.query_one(Steps).follow(_change(endpoint, snapshot))
        happened = self.query_one("#happened", Pane)
        going_back = endpoint.operation is not None and endpoint.operation.state == "going back"
        happened.head("why" if going_back else "what happened here", "6 for all of it")
        happened.show(self._happened(endpoint, snapshot, happened.inner_width))

    def _render_rollout(
        self, snapshot: Snapshot, endpoint: EndpointView, rollout: RolloutView, found: list[shares.Target], *, dimmed: bool
    ) -> None:
        """The new variant's shares, what takes it back and what comes next; and the boxes of the rollout."""
        live, then, now = drafts.live_traffic(endpoint), self.then(endpoint), snapshot.status.at
        self.sliders.set_levels([shares.row_of(target, endpoint, live, then) for target in found], dimmed=dimmed)
        back, under = self.query_one("#back", Pane), self.query_one("#under", Under)
        staged = [line(""), *self._staged_lines(endpoint)] if self.draft(endpoint) is not None else []
        back.show([*way_back(rollout, _BACK - 4, self.keys_by_action, now), *staged])
        short = way_back_short(rollout, self.keys_by_action, now)
        under.show([self._staged_line(endpoint), *short[1:]] if staged else short)
        rollout_panes.render(self, snapshot, endpoint, rollout)

    def greeting(self) -> str:
        """What the rollout holds for."""
        one = rollout_of(self.snapshot, self.ui.subject)
        return rollout_panes.greeting(one, self.keys_by_action) if one is not None else ""

    def _title(self, endpoint: EndpointView) -> Line:
        """The endpoint, its release, and what it is."""
        spans: list[Any] = [(endpoint.name, BOLD)]
        operation = endpoint.operation
        if operation is not None and operation.state == "going back":
            spans += [f" · #{operation.release} → #{endpoint.release} · ", ("GOING BACK, nothing for you to do", BOLD)]
        elif operation is not None:
            word = "interrupted" if operation.interrupted else "under way"
            spans += [f" · #{endpoint.release or '–'} → #{operation.release} · ", (f"{operation.kind} {word}", CYAN)]
        elif endpoint.release is None:
            spans += [" · not adopted"]
        else:
            spans += [f" · #{endpoint.release} · {_what(endpoint)}"]
        return line(*spans)

    def _doing(self, snapshot: Snapshot, endpoint: EndpointView, width: int) -> list[Line]:
        """What the running change does just now."""
        change = _change(endpoint, snapshot)
        if endpoint.operation is None or change is None:
            return []
        place = f"step {change.step} of {change.steps}: " if change.steps and change.state != "going back" else ""
        wanted = [] if change.state == "going back" else wrapped(f"{self.signs.arrow} {change.then}", width, BOLD)
        return [line(""), *wanted, *wrapped(f"{self.signs.changing} {place}{change.doing or change.state}", width, CYAN)]

    def _staged_lines(self, endpoint: EndpointView) -> list[Line]:
        """What is staged, under the way back; when nothing is, how it is done."""
        live, draft = drafts.live_traffic(endpoint), self.draft(endpoint)
        if live is None:
            return []
        if draft is None:
            return [line(("←→ slides, e sets exactly", DIM)), line(("nothing happens before T", DIM))] if can_move(live) else []
        told = [line(("staged, nothing has happened", BOLD)), *(line((f"  {one}", YELLOW)) for one in drafts.told(live, draft.traffic))]
        if draft.release != endpoint.release:
            since = line((f"{self.signs.look} made on #{draft.release}, live is #{endpoint.release}", YELLOW))
            return [*told, since, line(("move a share to take it over", DIM)), line(("esc drops it", DIM))]
        return [*told, line((self.key_of("traffic"), BOLD), "  makes the plan", ("   esc drops it", DIM))]

    def _staged_line(self, endpoint: EndpointView) -> Line:
        """The same in one line."""
        live, draft = drafts.live_traffic(endpoint), self.draft(endpoint)
        if live is None or (draft is None and not can_move(live)):
            return ()
        if draft is None:
            return line(("←→ slides, e sets exactly; nothing happens before T", DIM))
        told = ", ".join(drafts.told(live, draft.traffic))
        if draft.release != endpoint.release:
            return line((f"{self.signs.look} made on #{draft.release}, live is #{endpoint.release}: {told}", YELLOW))
        return line((f"staged: {told}", YELLOW), (" · T plans it, esc drops it", DIM))

    def _happened(self, endpoint: EndpointView, snapshot: Snapshot, width: int) -> list[Line]:
        """Why it goes back, what stands out, and the changes there were."""
        lines: list[Line] = []
        change = _change(endpoint, snapshot)
        if change is not None and change.problem:
            lines += wrapped(f"{self.signs.failing} {change.problem}", width, RED)
        elif endpoint.finding and endpoint.operation is None:
            lines += wrapped(f"{self.signs.of(endpoint.state)} {endpoint.finding}", width, STATE_STYLES[endpoint.state])
        return lines + history_lines(endpoint.name, snapshot, self.signs)

    def phone_lines(self, snapshot: Snapshot) -> list[Line]:
        """The sliders around the cursor, what is staged, the way back."""
        endpoint = self.subject()
        if endpoint is None:
            return [line("No endpoint yet. 1 shows versions.")]
        rollout = rollout_of(snapshot, endpoint.name)
        if rollout is not None:
            return rollout_panes.phone_lines(self, snapshot, endpoint, rollout, self._phone_rows())
        lines = [line((endpoint.name, BOLD), f" · #{endpoint.release} · {_what(endpoint)}" if endpoint.release else " · not adopted")]
        going_back = endpoint.operation is not None and endpoint.operation.state == "going back"
        if going_back:
            lines.append(line(("GOING BACK, nothing for you to do", BOLD)))
        lines += self._phone_rows()
        if endpoint.requests:
            lines.append(line(f"failed {endpoint.failed} of {endpoint.requests}"))
        lines += self._staged_lines(endpoint)
        change = _change(endpoint, snapshot)
        if change is not None and (change.problem or endpoint.operation is not None):
            lines += wrapped(change.problem or change.doing, _PHONE, RED if change.problem else CYAN)
        lines += [result_line(one, snapshot.status.at, self.signs) for one in ended_of(snapshot, endpoint.name)[:1]]
        return lines + way_back_lines(endpoint, snapshot, _PHONE)

    def _phone_rows(self) -> list[Line]:
        """The sliders around the cursor."""
        lines = []
        rows, place = list(self.sliders.rows), self.sliders.place
        first = max(0, min(place - 2, len(rows) - _PHONE_ROWS))
        for index, row in enumerate(rows[first : first + _PHONE_ROWS], first):
            cells = {key: (cell, "") if isinstance(cell, str) else cell for key, cell in row.cells.items()}
            seen, words = cells["observed"]
            sign = self.signs.cursor if index == place else " "
            name, bold = cells["name"]
            lines.append(
                line((f"{sign}{name[:11]:<11}", bold), (f"{cells['desired'][0]:>15}", cells["desired"][1]), " seen ", (seen, words))
            )
        return lines

    # What can be done.

    def again(self) -> None:
        """Show what is staged by now."""
        if self.snapshot is not None and self.query("#main"):
            self._render_subject(self.snapshot)
            self.refresh_phone(self.snapshot)
            self.ui.render_keys()

    def on_pane_moved(self, event: Pane.Moved) -> None:
        """Another slider is under the cursor."""
        if event.pane is self.sliders and self.snapshot is not None:
            self.refresh_phone(self.snapshot)
            self.ui.render_keys()

    def on_pane_chosen(self, event: Pane.Chosen) -> None:
        """A click on the cursor's row asks for its exact share."""
        if event.pane is self.sliders:
            self.ui.do("edit")

    def act_next_endpoint(self) -> None:
        """The next endpoint by name; the order does not change while one goes through them."""
        names = sorted(one.name for one in self.snapshot.status.endpoints) if self.snapshot else []
        if len(names) < 2:
            self.ui.say(f"{names[0]} is the only endpoint." if names else "There is no endpoint yet.")
            return
        self.ui.subject = next((name for name in names if name > self.ui.subject), names[0])
        self.open_subject(self.ui.subject)
        self.ui.render_all()

    def act_go_back(self) -> None:
        """The plan that goes back, or a running change stopped."""
        deploying.go_back(self.ui, self.ui.subject)

    def act_deploy(self) -> None:
        """Choose a version, and plan its deployment behind this endpoint."""
        deploying.choose_version(self.ui, self.ui.subject or None)

    def act_logs(self) -> None:
        """What the cursor's variant wrote."""
        target = self.target()
        deploying.show_logs(self.ui, self.ui.subject, target.variant if target and target.variant else None)

    def act_invoke(self) -> None:
        """Ask it."""
        deploying.invoke(self.ui, self.ui.subject)

    def act_raw(self) -> None:
        """Everything that is known of it."""
        deploying.show_raw(self.ui, self.subject())

    def act_more(self) -> None:
        """All that can be done here."""
        from mlconsole.tui.palette import open_row_actions

        open_row_actions(self.ui)

    def copied(self) -> tuple[str, str]:
        """The command that does what is staged, where one line says it; else the one that shows the endpoint."""
        endpoint = self.subject()
        if endpoint is None:
            return "", ""
        live, draft = drafts.live_traffic(endpoint), self.draft(endpoint)
        if live is not None and draft is not None and draft.release == endpoint.release:
            from mlconsole.engine.staging import traffic_words

            words = traffic_words(endpoint.name, live, draft.traffic)
            if words:
                return shlex.join(["mlconsole", *words, "--env", endpoint.environment]), "the command that does what is staged"
        return f"mlconsole endpoints show {endpoint.name} --env {endpoint.environment}", "the command that shows this endpoint"

    def _read_steps(self, change: str) -> Sequence[StepView]:
        """The journal of a change; called in a worker."""
        from mlconsole.engine.history import change as read

        return read(self.ui.session(), change)[1]


def _what(endpoint: EndpointView) -> str:
    """What an endpoint is just now: `v4 beside v3`, `v3 alone`."""
    live = drafts.live_traffic(endpoint)
    if live is None:
        return "serves nothing"
    stable = drafts.stable_of(live.split)
    others = [name for name in live.split if name != stable and live.reaches(name)]
    return f"{' and '.join(others)} beside {stable}" if others else f"{stable} alone"


def _change(endpoint: EndpointView, snapshot: Snapshot) -> OperationView | None:
    """The change that runs on an endpoint, with its progress; else the last one."""
    running = next((one for one in snapshot.status.running if one.endpoint == endpoint.name), None)
    return running or next((one for one in snapshot.changes if one.endpoint == endpoint.name), None)
