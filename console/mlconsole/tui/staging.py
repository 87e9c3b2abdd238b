"""The drafting half of Canary: what a slider, a digit or a dialog stages, why it is off, and the one plan that is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.widgets import Input

from mlconsole.core.errors import InvalidTraffic
from mlconsole.core.traffic import WHOLE, Shadow, Traffic, parse_percent, percent
from mlconsole.engine.session import whoami
from mlconsole.engine.views import EndpointView
from mlconsole.tui import drafts, shares
from mlconsole.tui.dialogs import Ask
from mlconsole.tui.drafts import Draft, Drafts
from mlconsole.tui.pane import line
from mlconsole.tui.rolling_view import ROLLOUT_ACTIONS, RollingView
from mlconsole.tui.rollout_words import rollout_of
from mlconsole.tui.screens.endpoints import endpoint_why_off
from mlconsole.tui.shares import SHADOW, Target
from mlconsole.tui.signs import DIM
from mlconsole.tui.slider import Sliders

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_STEP, _FINE = 500, 100
"""What an arrow moves (bp), and with shift."""
"""Basis points that a press of an arrow moves, without and with shift."""


class Exact(Ask):
    """Asks for a share of which the first digit was typed already: the next one stands behind it."""

    CSS = Ask.CSS.replace("Ask", "Exact")
    """Textual binds a screen's CSS to the very class that has it."""

    def on_mount(self) -> None:
        """Nothing is selected; Ask's own mounting follows."""
        self.query_one("#typed", Input).select_on_focus = False


class StagingView(RollingView):
    """A view with sliders. It keeps what is staged; nothing happens before the plan that T makes."""

    def __init__(self, ui: Any) -> None:
        super().__init__(ui)
        # Read only means that nothing is written; a draft lasts as long as the console then.
        self._drafts = Drafts(None if ui.read_only else drafts.path_of(ui.workspace.root / ".mlconsole", whoami().user))

    @property
    def sliders(self) -> Sliders:
        """The table of sliders."""
        return self.query_one("#main", Sliders)

    def again(self) -> None:
        """Show what is staged by now."""
        raise NotImplementedError

    # What is staged.

    def draft(self, endpoint: EndpointView) -> Draft | None:
        """What is staged for an endpoint; on whatever release that was."""
        return self._drafts.get(endpoint.environment, endpoint.name)

    def then(self, endpoint: EndpointView) -> Traffic | None:
        """What is staged, where it is of the variants that there are; else what is live."""
        live, draft = drafts.live_traffic(endpoint), self.draft(endpoint)
        if live is not None and draft is not None and set(draft.traffic.split) == set(live.split):
            return draft.traffic
        return live

    def open_subject(self, name: str) -> None:
        """Another console of the same person may have staged something meanwhile."""
        self._drafts.again()

    def forget_draft(self, endpoint: str) -> None:
        """It became a plan that runs: it is no draft any more."""
        self._drafts.put(self.ui.environment.name, endpoint, None)
        self.again()

    def target(self) -> Target | None:
        """What the cursor's slider moves."""
        row = self.sliders.cursor
        return self._target_of(row.key) if row is not None else None

    def _target_of(self, key: str) -> Target | None:
        endpoint, snapshot = self.subject(), self.snapshot
        if endpoint is None or snapshot is None:
            return None
        found = shares.targets(endpoint, snapshot, self.then(endpoint), self.ui.language)
        return next((one for one in found if one.key == key), None)

    def _moved(self, target: Target, share: int) -> Traffic | None:
        """The staged traffic if that slider stood there.

        Raises:
            InvalidTraffic: it can't stand there.
        """
        endpoint = self.subject()
        live, now = (drafts.live_traffic(endpoint), self.then(endpoint)) if endpoint else (None, None)
        if live is None or now is None:
            return None
        if target.key == SHADOW:
            return drafts.with_shadow(now, Shadow(target.variant, max(0, min(WHOLE, share))))
        return drafts.slid(now, live, target.variant, share, target.where)

    def _set(self, target: Target, share: int) -> None:
        try:
            self._stage(self._moved(target, share))
        except InvalidTraffic as error:
            self.ui.say(str(error))

    def _stage(self, then: Traffic | None) -> None:
        """Keep what is staged, and say it. What equals live is no draft."""
        endpoint = self.subject()
        live = drafts.live_traffic(endpoint) if endpoint else None
        if endpoint is None or live is None or then is None:
            return
        before = self.then(endpoint) or live
        draft = Draft(endpoint.release or 0, then)
        self._drafts.put(endpoint.environment, endpoint.name, draft if drafts.differs(draft, live) else None)
        self.again()
        if self.draft(endpoint) is None:
            self.ui.say("Nothing is staged: this is what is live.")
            return
        lost = before.shadow is not None and then.shadow is None and then.reaches(before.shadow.variant)
        shadow = f" {before.shadow.variant} is no shadow any more: it would answer itself." if lost and before.shadow else ""
        rollout = rollout_of(self.snapshot, endpoint.name)
        pauses = ", which pauses the rollout" if rollout is not None and rollout.state != "paused" else ""
        told = f"Nothing has happened; {self.key_of('traffic')} makes the plan{pauses}."
        self.ui.say(f"Staged: {', '.join(drafts.told(live, then))}.{shadow} {told}")

    # Why something is off.

    def why_off(self, action: str) -> str:
        """What the endpoint does not allow just now."""
        endpoint = self.subject()
        if action not in self.actions or action in ("next_endpoint", "deploy"):
            return ""
        if endpoint is None:
            return "There is no endpoint yet. 1 shows versions, D deploys one."
        if action in ROLLOUT_ACTIONS:
            return self.rollout_off(action, endpoint)
        if action in ("less", "greater", "edit", "as_for_all"):
            return self._why_not_staged(action, endpoint)
        if action == "enter":
            return self._why_not_staged("edit", endpoint) if self.draft(endpoint) is None else self._why_no_plan(endpoint)
        return self._why_no_plan(endpoint) if action == "traffic" else endpoint_why_off(action, endpoint)

    def _why_not_staged(self, action: str, endpoint: EndpointView) -> str:
        live, target = drafts.live_traffic(endpoint), self.target()
        if endpoint.release is None or endpoint.operation is not None:
            return endpoint_why_off("traffic", endpoint)
        if live is None or target is None:
            return f"Nothing is known of the traffic of {endpoint.name}."
        if not can_move(live):
            return f"{next(iter(live.split))} is the only variant of {endpoint.name} and answers all. D deploys another one beside it."
        if target.key == SHADOW and action in ("less", "greater") and not target.variant:
            return f"Nobody gets copies. {self.key_of('edit')} names who shall, like {list(live.split)[-1]}=20."
        if action != "as_for_all":
            return ""
        if target.where is None:
            return "Only a slice can lose a split of its own; this row is of all requests."
        return "" if drafts.own_split(self.then(endpoint) or live, target.where) else f"{target.where[1]} is served as all are already."

    def _why_no_plan(self, endpoint: EndpointView) -> str:
        key, draft = self.key_of("traffic"), self.draft(endpoint)
        why = endpoint_why_off("traffic", endpoint)
        if why:
            return why
        if "changed outside" in endpoint.finding:
            return f"{key} is off: {endpoint.name} was changed outside mlconsole. u puts ours back; K on Endpoints keeps theirs."
        if draft is None:
            return f"{key} is off: nothing is staged. ←→ slides, {self.key_of('edit')} sets a share exactly."
        return f"{key} is off: {outdated(endpoint, draft)}" if draft.release != endpoint.release else ""

    def key_of(self, action: str) -> str:
        """The key that an action has for this person."""
        return self.ui.actions_by_id[action].key

    # Keys and the mouse.

    def act_less(self) -> None:
        """A bit less."""
        self._slide(-_STEP)

    def act_greater(self) -> None:
        """A bit more."""
        self._slide(_STEP)

    def _slide(self, by: int) -> None:
        target, endpoint = self.target(), self.subject()
        then = self.then(endpoint) if endpoint else None
        if target is not None and then is not None:
            self._set(target, self._share(target, then) + by)

    def _share(self, target: Target, then: Traffic) -> int:
        if target.key == SHADOW:
            return then.shadow.sample if then.shadow else 0
        return drafts.split_of(then, target.where).get(target.variant, 0)

    def other_key(self, key: str) -> bool:
        """A digit begins an exact share; an arrow with shift moves further."""
        if key in ("shift+left", "shift+right"):
            why = self.why_off("less")
            self.ui.say(why) if why else self._slide(_FINE if key == "shift+right" else -_FINE)
            return True
        if len(key) == 1 and key.isascii() and key.isdigit():
            why = self.why_off("edit")
            self.ui.say(why) if why else self._ask_exact(key)
            return True
        return False

    def on_sliders_slid(self, event: Sliders.Slid) -> None:
        """The mouse put a slider somewhere."""
        target, why = self._target_of(event.key), self.why_off("edit")
        if why:
            self.ui.say(why)
        elif target is not None:
            self._set(target, event.share)

    def act_edit(self) -> None:
        """An exact share of the row under the cursor."""
        self._ask_exact("")

    def _ask_exact(self, typed: str) -> None:
        target, endpoint = self.target(), self.subject()
        live, then = (drafts.live_traffic(endpoint), self.then(endpoint)) if endpoint else (None, None)
        if target is None or live is None or then is None:
            return
        if target.key == SHADOW:
            self._ask_shadow(typed, live, then)
            return
        was, staged = self._share(target, live), self._share(target, then)
        told = f"{percent(was)} % live" + (f", {percent(staged)} % staged" if was != staged else "")

        def check(text: str) -> str:
            try:
                self._moved(target, parse_percent(text))
            except InvalidTraffic as error:
                return str(error)
            return ""

        def said(text: str | None) -> None:
            if text is not None:
                self._set(target, parse_percent(text))

        lines = [line(f"{told}.", ("  In percent, like 12.5.", DIM))]
        dialog = Exact if typed else Ask
        self.ui.push_screen(dialog(f"exact share of {target.text}", lines, value=typed or percent(staged), check=check), said)

    def _ask_shadow(self, typed: str, live: Traffic, then: Traffic) -> None:
        def check(text: str) -> str:
            try:
                drafts.with_shadow(then, drafts.parse_shadow(text, then))
            except InvalidTraffic as error:
                return str(error)
            return ""

        def said(text: str | None) -> None:
            if text is not None:
                self._stage(drafts.with_shadow(then, drafts.parse_shadow(text, then)))

        now = f"{then.shadow.variant}={percent(then.shadow.sample)}" if then.shadow else ""
        example = next((name for name in live.split if not live.reaches(name)), list(live.split)[-1])
        lines = [line(f"VARIANT=PERCENT of the requests are copied to it, like {example}=20; or none.")]
        dialog = Exact if typed else Ask
        self.ui.push_screen(dialog("copies (shadow)", lines, value=typed or now, check=check), said)

    def act_as_for_all(self) -> None:
        """The slice under the cursor is served as all are again."""
        target, endpoint = self.target(), self.subject()
        now = self.then(endpoint) if endpoint else None
        if target is not None and target.where is not None and now is not None:
            self._stage(drafts.as_for_all(now, target.where))

    def act_out(self) -> None:
        """Out: of the filter, then the draft away, then the tutor."""
        endpoint = self.subject()
        if endpoint is None or self.draft(endpoint) is None or self.ui.language or self.ui.faults_only:
            self.ui.act_out()
            return
        self._drafts.put(endpoint.environment, endpoint.name, None)
        self.again()
        self.ui.say(f"The draft for {endpoint.name} is dropped. Nothing had happened.")

    def act_enter(self) -> None:
        """What is staged becomes a plan; when nothing is, an exact share is asked for."""
        endpoint = self.subject()
        if endpoint is not None and self.draft(endpoint) is not None:
            self.act_traffic()
        else:
            self.act_edit()

    def act_traffic(self) -> None:
        """One plan of all that is staged: it is shown, and carried out only when a person says so."""
        endpoint = self.subject()
        draft = self.draft(endpoint) if endpoint else None
        if endpoint is None or draft is None:
            return
        name = endpoint.name

        def call(session: Session, break_glass: str = "") -> Any:
            from mlconsole.engine.staging import plan_staged

            return plan_staged(session, name, draft.traffic, made_from=draft.release, break_glass=break_glass)

        self.ui.plan(f"planning the traffic of {name}", call, glass=call)


def can_move(live: Traffic) -> bool:
    """Whether there is anybody to take a share from."""
    return len(live.split) > 1


def outdated(endpoint: EndpointView, draft: Draft) -> str:
    """That a draft was made on another release, and what to do."""
    return f"the draft was made on #{draft.release}, live is #{endpoint.release}. Move a share to take it over, esc drops it."
