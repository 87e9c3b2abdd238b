"""The panes of Canary while a rollout runs: its stages, its guards, what the shadow said, its history; and going back, why and how far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual.widget import Widget

from mlconsole.engine.views import EndpointView, RolloutView, Snapshot
from mlconsole.tui import rollout_guards as guards
from mlconsole.tui import rollout_words as words
from mlconsole.tui.layout import Box, shared_out
from mlconsole.tui.pane import Line, Pane, line
from mlconsole.tui.shares import SHADOW
from mlconsole.tui.signs import BOLD, CYAN, DIM, RED, Signs
from mlconsole.tui.table import Column, LiveTable

if TYPE_CHECKING:
    from mlconsole.tui.screens.canary import CanaryView
    from mlconsole.tui.shares import Target

BOXES = ("guards", "why", "going", "shadow", "events")
"""The boxes below the first one, from top to bottom; each is absent where it has nothing to tell."""

_FRAME, _BACK = 6, 36
"""Rows of the frame around a view; columns of the way back."""

_PHONE = 46


def compose(signs: Signs) -> Iterator[Widget]:
    """The boxes, hidden until there is a rollout."""
    yield LiveTable((Column("guard", "GUARD"),), "guards", id="guards", signs=signs, empty=[line(("no guard was asked yet", DIM))])
    yield Pane("why", id="why", signs=signs)
    yield Pane("steps", id="going", edges="lrb", signs=signs)
    yield Pane("shadow said", id="shadow", focusable=False, signs=signs)
    yield Pane("history", id="events", hint="6 for all of it", edges="lrb", signs=signs)


def columns(sliders: tuple[Column, ...], one: RolloutView | None) -> tuple[Column, ...]:
    """The sliders' columns; while a rollout runs only the new variant is shown."""
    first, *rest = sliders
    return (replace(first, title=f"{one.variant[:12]} GETS"), *rest) if one is not None else sliders


def only_new(found: list[Target], one: RolloutView) -> list[Target]:
    """The rows of the new variant, and of the copies; the stable one has the rest."""
    return [each for each in found if each.variant == one.variant or each.key == SHADOW] or found


def hide(view: CanaryView) -> None:
    """No rollout: the panes of every day."""
    _absent(view, {*BOXES, "rollout"})
    view.query_one("#top").styles.height = "1fr"
    view.sliders.lead(())


def _absent(view: CanaryView, names: set[str]) -> None:
    # By class, not by `display`: on the phone's layout none of them is there.
    for name in (*BOXES, "rollout", "steps", "happened"):
        view.query_one(f"#{name}").set_class(name in names, "-absent")


def render(view: CanaryView, snapshot: Snapshot, endpoint: EndpointView, one: RolloutView) -> None:
    """All of the rollout but its sliders and the way back, laid out for the room that there is."""
    width, room = view.ui.size.width, view.ui.size.height - _FRAME
    narrow, inner, now = width < 100, width - 4, snapshot.status.at
    going = one.state == "going back"
    head, table = view.query_one("#rollout", Pane), view.query_one("#guards", LiveTable)
    rows = [] if going else guards.rows(one, view.signs, view.ui.language)
    why = guards.why_lines(one, snapshot, inner) if going else []
    steps = _steps(one, endpoint, view.signs) if going else []
    sliders = len(view.sliders.rows)
    heads, under = (2 if going else 4), (2 if narrow else 0)
    beside = 0 if narrow else len(words.way_back_lines(one, _BACK - 4, view.keys_by_action, now)) + 1
    boxes = [
        Box("top", heads + min(2, sliders) + under, max(heads + sliders + under, beside), 1),
        Box("guards", 3, min(2 + max(1, len(rows)), room // 2) if not going else 0, 0),
        Box("why", 3, 1 + len(why) if why else 0, 1),
        Box("shadow", 2, 2 if one.shadow_told and not going else 0, 3),
        Box("going", 3, 2 + len(steps) if going else 0, 0, eager=True),
        Box("events", 3, min(8, 2 + len(one.events)) if not going else 0, 2),
    ]
    given = shared_out(room, boxes, "going" if going else "guards" if len(rows) + 2 > room // 2 else "events")
    if not going and "events" not in given:  # the last box closes the frame
        given["events"] = 2
        given["guards" if "guards" in given else "top"] -= 2
    view.query_one("#top").styles.height = given["top"]
    for name in BOXES:
        if name in given:
            view.query_one(f"#{name}").styles.height = given[name]
    _absent(view, {"steps", "happened", *(name for name in BOXES if name not in given), *(["rollout"] if going else [])})
    ends = None if narrow else width - _BACK
    table.edged("lr", ("l", "r"), ends=ends)
    view.query_one("#why", Pane).edged("lr", ("l", "r"), ends=ends)
    head.edged(*(("lr", ("tl", "tr")) if narrow else ("l", ("tl", ""))))
    left = inner if narrow else width - _BACK - 3
    failed = f"failed {endpoint.failed} of {endpoint.requests}" if endpoint.requests else ""
    head.head(words.title(one, endpoint), failed)
    head.show([words.stages_line(one, left, view.signs)])
    view.sliders.lead(() if going else words.started_line(one, now))
    view.sliders.head(words.title(one, endpoint), failed)
    if going:
        view.query_one("#why", Pane).show(why)
        view.query_one("#going", Pane).show(steps)
        return
    table.set_columns(guards.columns(one))
    title, hint = guards.heading(one)
    table.head(title, hint or guards.checked_told(one, now))
    table.fill(rows, dimmed=bool(snapshot.blind))
    shadow = view.query_one("#shadow", Pane)
    shadow.head("shadow said" + (", and it counts" if one.shadow_counts else ""), "")
    shadow.show([line(one.shadow_told)])
    view.query_one("#events", Pane).show(words.event_lines(one, inner, given["events"] - 2))


def _steps(one: RolloutView, endpoint: EndpointView, signs: Signs) -> list[Line]:
    """What was done, what is being done, what is waited for."""
    lines = guards.going_lines(one, endpoint, signs)
    operation = endpoint.operation
    if operation is not None:
        lines.insert(-1, line((f"{signs.changing} ", CYAN), operation.doing or operation.state))
    return lines


def phone_lines(view: Any, snapshot: Snapshot, endpoint: EndpointView, one: RolloutView, sliders: list[Line]) -> list[Line]:
    """The same in one column."""
    now, signs, keys = snapshot.status.at, view.signs, view.keys_by_action
    lines = [words.title(one, endpoint)]
    if one.state == "going back":
        lines += sliders[:2]
        lines += guards.why_lines(one, snapshot, _PHONE)[:5]
        return [*lines, *_steps(one, endpoint, signs)[-3:]]
    lines += [words.stages_line(one, _PHONE, signs), words.started_line(one, now), *sliders[:3]]
    lines += guards.phone_lines(one, signs, 2)
    lines += [line((words.next_told(one, now), BOLD))]
    for text in one.waits_for[:2]:
        lines += words.folded(text, _PHONE, first="   ")
    if "revert" in one.controls:
        lines += words.folded(words.back_told(one), _PHONE, first=f"{keys['go_back']}  ")
    if not one.driver:
        lines.append(line(("nobody drives it just now", RED)))
    return lines


def greeting(one: RolloutView, keys: dict[str, str]) -> str:
    """What the message line says to who comes here: what it holds for, and what can be done about it."""
    if one.state not in ("waiting", "paused") or not one.why:
        return one.why
    more = [f"{keys['evidence']} counts the shadow's evidence"] if words.evidence_counts(one) else []
    more += [f"{keys['next_stage']} goes on without, with a reason"] if "next" in one.controls else []
    more += [f"{keys['go_back']} goes back"] if "revert" in one.controls else []
    return " · ".join([one.why, *more])
