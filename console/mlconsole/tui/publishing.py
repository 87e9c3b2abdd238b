"""Publishing a draft by key: the reason, which lint reads too; by stages or at once; the plan; and a person's word for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlconsole.core.text import duration
from mlconsole.core.traffic import percent
from mlconsole.engine.documentviews import DocumentView
from mlconsole.plugin.errors import NotAllowed
from mlconsole.tui.config_words import stopping
from mlconsole.tui.configuring import edition_of
from mlconsole.tui.confirm import GLASS
from mlconsole.tui.dialogs import Ask, Choice, Option
from mlconsole.tui.glass import ask_reason
from mlconsole.tui.pane import line
from mlconsole.tui.publish_box import GrowBox, Meant, PublishBox
from mlconsole.tui.signs import DIM, YELLOW

if TYPE_CHECKING:
    from mlconsole.core.plans import Plan
    from mlconsole.engine.session import Session
    from mlconsole.tui.app import ConsoleApp
    from mlconsole.tui.config_keys import ConfigKeys

_STAGES, _ONCE = "stages", "once"


def publish(app: ConsoleApp, view: ConfigKeys, one: DocumentView) -> None:
    """Why, first: who reads the history wants to know, and lint looks whether it speaks of what the change touches."""
    draft = one.draft
    if draft is None:
        return
    said = [line("Why? It stays in the history, and lint compares it with the change."), line((draft.about, DIM))]
    said += [line((f"{app.signs.look} {each.text}", YELLOW)) for each in draft.findings if each.severity == "look"][:3]

    def check(text: str) -> str:
        return "" if text or not app.environment.production else "In a few words, please."

    def typed(reason: str | None) -> None:
        if reason is None:
            app.say("Nothing has happened. The draft is kept.")
        elif reason == draft.reason:
            _how(app, view, one)
        else:
            _judge(app, view, one, reason)

    app.push_screen(Ask(f"publish config {one.name}", said, value=draft.reason, check=check), typed)


def _judge(app: ConsoleApp, view: ConfigKeys, one: DocumentView, reason: str) -> None:
    """Lint looks at the draft again, with its reason."""

    def call(session: Session) -> DocumentView:
        from mlconsole.engine import configuring

        return configuring.edit(session, one.name, {}, edition=edition_of(one), reason=reason)

    def judged(now: DocumentView) -> None:
        view.took(now)
        stops = stopping(now.draft) if now.draft is not None else []
        if stops:
            app.say(f"{stops[0].text} Lint stops this. Nothing was published.")
        else:
            _how(app, view, now)

    app.ask(f"checking the draft of {one.name}", call, judged)


def _how(app: ConsoleApp, view: ConfigKeys, one: DocumentView) -> None:
    """By the stages of its policy, or at once; a first version has nothing that other clients could read meanwhile."""
    if one.version is None or not one.policy:
        _plan_at_once(app, view, one)
        return
    options = [
        Option(_STAGES, f"by {one.policy}", _policy_told(app, one.policy) or "stage by stage; guards take it back"),
        Option(_ONCE, "all clients at once", f"everywhere in {duration(one.poll_lag)}; no stage in which a guard could stop it"),
    ]

    def chosen(how: str | None) -> None:
        if how == _STAGES:
            _plan_stages(app, view, one)
        elif how == _ONCE:
            _plan_at_once(app, view, one)
        else:
            app.say("Nothing has happened. The draft is kept.")

    app.push_screen(Choice(f"publish config {one.name} how", options), chosen)


def _policy_told(app: ConsoleApp, name: str) -> str:
    policy = app.workspace.policies.get(name)
    if policy is None:
        return ""
    stages = " → ".join(percent(stage.share) for stage in policy.stages)
    return f"{stages} % of clients" + (f", bake {duration(policy.bake)}" if policy.bake else "") + "; guards take it back"


def _meant(app: ConsoleApp, one: DocumentView, confirm: str | None) -> Meant:
    assert one.draft is not None  # it is being published
    return Meant.of(one, one.draft, confirm or "", app.actions_by_id["move"].key)


def _plan_at_once(app: ConsoleApp, view: ConfigKeys, one: DocumentView, *, break_glass: str = "") -> None:
    reason = one.draft.reason if one.draft is not None else ""

    def call(session: Session) -> Plan:
        from mlconsole.engine import publishing

        return publishing.plan_publish(session, one.name, reason=reason, **_glass(break_glass))

    def planned(plan: Plan) -> None:
        if plan.nothing_to_do:
            app.say(f"Nothing to do: the draft of {one.name} is what is live already. No call was made.")
            return
        box = PublishBox(plan, app.signs, meant=_meant(app, one, plan.confirm))

        def said(typed: str | None) -> None:
            if typed is not None:
                app.carry_out(plan, typed or None)
            else:
                _left(app, view, one, box, f"Nothing has happened. The plan is kept: mlconsole apply {plan.id}")

        app.push_screen(box, said)

    _plan(app, f"planning config {one.name}", call, planned, lambda why: _plan_at_once(app, view, one, break_glass=why))


def _plan_stages(app: ConsoleApp, view: ConfigKeys, one: DocumentView, *, attended: bool = False, break_glass: str = "") -> None:
    reason = one.draft.reason if one.draft is not None else ""

    def call(session: Session) -> Any:
        from mlconsole.engine import growing

        return growing.plan_config_rollout(session, one.name, reason=reason, attended=attended, **_glass(break_glass))

    def again(why: str) -> None:
        _plan_stages(app, view, one, attended=attended, break_glass=why)

    def planned(made: Any) -> None:
        from mlconsole.tui.rollout_box import ATTENDED

        box = GrowBox(made, app.signs, attended=attended, meant=_meant(app, one, made.confirm))

        def said(typed: str | None) -> None:
            if typed == ATTENDED:
                _plan_stages(app, view, one, attended=True, break_glass=break_glass)
            elif typed == GLASS:
                ask_reason(app, f"break the glass · config {one.name}", [made.refused or f"It would go without the {made.glass}."], again)
            elif typed is None:
                _left(app, view, one, box, f"Nothing has happened. {made.command} begins it.")
            else:
                app.ask(f"publishing config {one.name}", lambda session: _begin(session, made), lambda _: _begun(app, view, one))

        app.push_screen(box, said)

    _plan(app, f"planning config {one.name} in stages", call, planned, again)


def _glass(why: str) -> dict[str, str]:
    return {"break_glass": why} if why else {}


def _plan(app: ConsoleApp, what: str, call: Callable[[Session], Any], planned: Callable[[Any], None], again: Callable[[str], None]) -> None:
    """Have it planned; where something refuses it that a reason overrules, that reason is asked for."""

    def careful(session: Session) -> Any:
        try:
            return call(session)
        except NotAllowed as error:
            if not error.glass:
                raise
            return error

    def found(result: Any) -> None:
        if isinstance(result, NotAllowed):
            ask_reason(app, "refused · break the glass", [result.message], again)
        else:
            planned(result)

    app.ask(what, careful, found)


def _begin(session: Session, made: Any) -> Any:
    from mlconsole.engine import rolling

    return rolling.begin(session, made)


def _begun(app: ConsoleApp, view: ConfigKeys, one: DocumentView) -> None:
    keys: Sequence[str] = [app.actions_by_id[name].key for name in ("go_back", "pause")]
    view.meant.pop(one.name, None)
    app.say(f"config {one.name} is being published. It goes on when you leave; {keys[0]} takes it back, {keys[1]} holds it.")
    app.look()


def _left(app: ConsoleApp, view: ConfigKeys, one: DocumentView, box: PublishBox | GrowBox, otherwise: str) -> None:
    """Left without publishing: when another slice was meant, that is said again, with the key that moves the value there."""
    if box.typed_slice:
        view.meant[one.name] = box.typed_slice
    app.say(box.wrong or otherwise)
