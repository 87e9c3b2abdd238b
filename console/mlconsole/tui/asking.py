"""What the console asks of the engine: in workers; plans, and the changes that come of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from textual import work
from textual.worker import Worker, WorkerState

from mlconsole.core.documents import target_told
from mlconsole.core.errors import MLConsoleError
from mlconsole.engine.views import Snapshot
from mlconsole.tui.messages import ChangeEnded, Done, Planned, Refused
from mlconsole.tui.rollout_words import rollout_of, stage_name, turn
from mlconsole.tui.shell import Shell
from mlconsole.tui.start import Start

if TYPE_CHECKING:
    from mlconsole.core.plans import Plan
    from mlconsole.engine.detached import Detached
    from mlconsole.engine.session import Session

T = TypeVar("T")


class Asking(Shell):
    """Views ask by these methods, and never touch the engine otherwise."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self._opening = threading.Lock()
        self._begun: list[Detached] = []
        self._becoming: dict[str, int] = {}
        """Endpoints with a change that was begun here → the release that it was made on."""
        self.last_curl = ""
        """The request of the last invocation, for copying."""

    def session(self) -> Session:
        """The opened session; for workers only, since opening reads files."""
        with self._opening:  # a look and a question may come at once
            if self._session is None:
                from mlconsole.engine.session import Session

                self._session = Session(self.workspace, self.environment, read_only=self.read_only)
            return self._session

    def ask(self, what: str, call: Callable[[Session], T], then: Callable[[T], None]) -> None:
        """Ask the engine in a worker; `then` gets the answer in the app's thread. A refusal goes to the message line."""
        self.say(f"{what} …")
        self._ask(call, then)

    def ask_quietly(self, call: Callable[[Session], T], then: Callable[[T], None]) -> None:
        """The same without a word: what a screen shows of what the cursor is on."""
        self._ask(call, then)

    @work(thread=True, exit_on_error=False, group="ask")
    def _ask(self, call: Callable[[Session], Any], then: Callable[[Any], None], again: Callable[[str], None] | None = None) -> None:
        try:
            self.post_message(Done(call(self.session()), then))
        except MLConsoleError as error:
            self.post_message(Refused(error, again))
        except Exception as error:  # noqa: BLE001 - the edge
            self.post_message(Refused(MLConsoleError(f"That failed: {type(error).__name__}: {error}.")))

    def on_done(self, message: Done) -> None:
        """An answer."""
        if self._said.endswith("…"):
            self.say("")
        message.then(message.result)

    def on_refused(self, message: Refused) -> None:
        """Why not, and what to do; a reason is asked for where one overrules it."""
        if message.again is not None and getattr(message.error, "glass", False):
            from mlconsole.tui.glass import ask_reason

            ask_reason(self, "refused · break the glass", [message.error.message], message.again)
        self.say(str(message.error))
        self.bell() if message.error.exit_code == 7 else None

    def plan(self, what: str, call: Callable[[Session], Plan], glass: Callable[[Session, str], Plan] | None = None) -> None:
        """Have a plan made, show it, and carry it out when a person says so. `glass` makes it for a reason that overrules what stops it."""
        again = None if glass is None else lambda reason: self.plan(what, lambda session: glass(session, reason))
        self.say(f"{what} …")
        self._ask(call, lambda plan: self._planned(plan, again), again)

    def _planned(self, plan: Plan, again: Callable[[str], None] | None) -> None:
        from mlconsole.engine.glass import skippable

        self.post_message(Planned(plan, skippable(plan) if again is not None else "", again))

    def on_planned(self, message: Planned) -> None:
        """Show the plan box."""
        from mlconsole.core.releases import describe_content
        from mlconsole.tui.confirm import GLASS
        from mlconsole.tui.glass import ask_reason
        from mlconsole.tui.plan_box import PlanBox

        plan = message.plan
        if plan.nothing_to_do:
            there = f"#{plan.made_from_release} ({describe_content(plan.now)})"
            self.say(f"Nothing to do: {target_told(plan.endpoint)} already is {there}. No call was made.")
            return

        def said(typed: str | None) -> None:
            if typed == GLASS and message.again is not None:
                why = f"It would go without the {message.glass}."
                ask_reason(self, f"break the glass · {target_told(plan.endpoint)}", [why], message.again)
            elif typed is None:
                self.say(f"Nothing has happened. The plan is kept: mlconsole apply {plan.id}")
            else:
                self.carry_out(plan, typed or None)

        self.push_screen(PlanBox(plan, self.signs, notes=self._rollout_notes(plan), glass=message.glass), said)

    def _rollout_notes(self, plan: Plan) -> tuple[str, ...]:
        """What a change does to the rollout that runs there, where the plan itself does not say so."""
        rollout = rollout_of(self.snapshot, plan.endpoint)
        if rollout is None or any("rollout" in note for note in plan.notes):
            return ()
        at = f"{turn(rollout)} at {stage_name(rollout)}"
        if str(plan.kind) == "traffic":
            return (f"this pauses the rollout ({at}); p lets it go on",)
        return (f"this takes the place of the rollout ({at})",)

    def carry_out(self, plan: Plan, typed: str | None) -> None:
        """Run a plan in a process of its own: it goes on when this screen closes."""
        from mlconsole.engine.detached import Detached

        self.ask(f"{plan.kind} {target_told(plan.endpoint)}: starting", lambda session: Detached(session, plan, typed=typed), self._began)

    def go_back_now(self, endpoint: str) -> None:
        """Make a running or interrupted change go back: no plan, it is stored already."""
        from mlconsole.engine.detached import Detached

        self.ask(f"{target_told(endpoint)}: going back", lambda session: Detached.going_back(session, endpoint), self._began)

    def _forget_what_is_live(self, snapshot: Snapshot) -> None:
        """With the very snapshot that shows the new release, the draft it was made of goes; else it would be told as outdated."""
        for endpoint, release in list(self._becoming.items()):
            there = snapshot.endpoint(endpoint)
            if there is not None and there.operation is None and there.release != release:
                del self._becoming[endpoint]
                self._forget_draft(endpoint)

    def _forget_draft(self, endpoint: str) -> None:
        """A staged draft is live now: it is no draft any more. One whose change was refused or went back stays."""
        for view in self._views.values():
            forget = getattr(view, "forget_draft", None)
            if forget is not None:
                forget(endpoint)

    def _began(self, change: Detached) -> None:
        self._begun.append(change)
        if change.made_from is not None:
            self._becoming[change.endpoint] = change.made_from
        self.say(f"{change.what}: under way. It goes on when you leave; u goes back.")
        self.look()

    def on_change_ended(self, message: ChangeEnded) -> None:
        """A change that was begun here is over."""
        sign = self.signs.ok if message.ended.exit_code == 0 else self.signs.failing
        self.say(f"{sign} {message.ended.sentence} {message.ended.next}".strip())
        self.look()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Work of our own that failed is a bug; it is said, and the console stays."""
        if event.state is WorkerState.ERROR:
            self.say(f"That failed: {type(event.worker.error).__name__}: {event.worker.error}.")

    def answered(self, endpoint: str) -> None:
        """A person's own request was answered: the tutor waits for that."""
        if self.tutor is not None:
            self.tutor.answered(endpoint)

    def set_tutor(self, on: bool) -> None:
        """The tutor on, from its beginning, or off."""
        if self.tutor_place is not None:
            self.tutor_place.keep(self.environment.name, None)
        self.tutor = self.new_tutor() if on else None
        self.render_all()
