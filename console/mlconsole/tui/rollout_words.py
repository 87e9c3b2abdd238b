"""A rollout in words and lines: where it is, what it waits for, what would take it back. Pure: values in, lines out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from mlconsole.core.documents import document_of, target_told
from mlconsole.core.text import duration
from mlconsole.engine.views import EndpointView, GuardView, RolloutView, Snapshot, StageView
from mlconsole.tui.figures import clock, count, moment
from mlconsole.tui.pane import Line, Span, line, width_of
from mlconsole.tui.signs import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Signs

OPEN = ("inconclusive", "no_data", "error")
"""Verdicts that hold: neither a pass nor a fail."""

_TIME, _HARD = re.compile(r"\d+ (?:ms|s|min|h \d\d|d)\b"), "\N{NO-BREAK SPACE}"

_VERSION = re.compile(r"[^0-9]")

_LONG = 600.0
"""Seconds from which on waiting for evidence is told to a person who is on another screen."""

_SOON = 60.0
"""Seconds in a stage before which it is no finding that somebody has not been heard."""


# Which one.


def running_rollouts(snapshot: Snapshot | None) -> tuple[RolloutView, ...]:
    """Those that are not over."""
    return tuple(one for one in snapshot.rollouts if not one.over) if snapshot is not None else ()


def rollout_of(snapshot: Snapshot | None, endpoint: str) -> RolloutView | None:
    """The one that runs on an endpoint."""
    return next((one for one in running_rollouts(snapshot) if one.endpoint == endpoint), None)


def guardian_watches(snapshot: Snapshot | None) -> bool:
    """Whether a guardian is there."""
    if snapshot is None:
        return False
    return snapshot.status.watcher.alive or (snapshot.health is not None and snapshot.health.watcher.alive)


def ended_of(snapshot: Snapshot, endpoint: str) -> tuple[RolloutView, ...]:
    """Those of an endpoint that ended in the last day, newest first."""
    found = [one for one in snapshot.rollouts if one.over and one.endpoint == endpoint]
    return tuple(sorted(found, key=lambda one: one.ended or one.started, reverse=True))


# Pieces.


def value_of(slice_name: str) -> str:
    """`de` of `language=de`; `all` of all together."""
    return slice_name.partition("=")[2] or slice_name or "all"


def subject_of(one: RolloutView) -> str:
    """Whose rollout it is: the endpoint, or `config models`."""
    return target_told(one.endpoint)


def version_of(one: RolloutView) -> str:
    """The number of the version that a config document's rollout publishes."""
    return _VERSION.sub("", one.variant) or one.variant


def stable_of(one: RolloutView) -> str:
    """Whom it takes the traffic from."""
    return ", ".join(one.stable) or "nothing"


def turn(one: RolloutView, arrow: str = "→") -> str:
    """`v3→v4`."""
    return f"{stable_of(one)}{arrow}{one.variant}"


def stage_of(one: RolloutView) -> StageView | None:
    """The stage that it is in."""
    return one.stages[min(one.stage, len(one.stages) - 1)] if one.stages else None


def stage_name(one: RolloutView) -> str:
    """`10 %`."""
    stage = stage_of(one)
    return stage.name if stage is not None else "its first stage"


def following(one: RolloutView) -> StageView | None:
    """The stage after the present one."""
    return one.stages[one.stage + 1] if one.stage + 1 < len(one.stages) else None


def stage_began(one: RolloutView) -> datetime:
    """When the present stage began, as far as it is known: when the one before ended, else when its events say that it came to it."""
    before = one.stages[one.stage - 1].ends if 0 < one.stage <= len(one.stages) else None
    if before is not None or one.stage == 0:
        return before or one.started
    named = [at for at, text in one.events if text.startswith(f"{stage_name(one)}:")]
    return max(named or [at for at, _ in one.events] or [one.started])


def deciding(one: RolloutView) -> tuple[GuardView, ...]:
    """The guards that decide: judged, and no dry run."""
    return tuple(guard for guard in one.guards if guard.judged and not guard.dry_run)


def failing(one: RolloutView) -> tuple[GuardView, ...]:
    """The guards that say fail, and decide."""
    return tuple(guard for guard in deciding(one) if guard.verdict == "fail")


def slowest(one: RolloutView) -> GuardView | None:
    """The guard whose evidence takes longest; of one that nobody can tell how long, that one."""
    wanting = [guard for guard in deciding(one) if guard.verdict in OPEN and guard.need]
    return max(wanting, key=lambda guard: (guard.seconds is None, guard.seconds or 0.0, guard.need), default=None)


def wait_told(one: RolloutView, now: datetime) -> str:
    """What it does just now, in a word or two: `waits 1 h 09`, `bakes 42 min`, `paused`."""
    if one.state == "paused":
        return "paused"
    if one.state == "going back":
        return "going back"
    if one.state == "shifting":
        return "shifting"
    stage, slow = stage_of(one), slowest(one)
    left = (stage.ends - now).total_seconds() if stage is not None and stage.ends is not None else 0.0
    left = max(left, slow.seconds or 0.0 if slow is not None else 0.0)
    word = "bakes" if one.state == "baking" else "waits"
    return f"{word} {duration(left)}" if left >= 1 else word


def state_word(one: RolloutView) -> str:
    """The same in one word, for a column."""
    return {"waiting": "waits", "baking": "bakes"}.get(one.state, one.state)


def row_two(one: RolloutView, now: datetime, signs: Signs, brief: int = 0) -> str:
    """The rollout for row 2; the more `brief`, the fewer words."""
    if one.state == "going back":
        return f"{signs.back} {subject_of(one)} going back"
    if document_of(one.endpoint) is not None:
        name = subject_of(one) if brief < 2 else "config"
        waits = f", {wait_told(one, now)}" if brief == 0 else ""
        return f"{signs.changing} {name} {version_of(one)} at {stage_name(one)} of clients{waits}"
    place = f", stage {min(one.stage + 1, len(one.stages))}/{len(one.stages)}" if brief < 2 and one.stages else ""
    what = f" {turn(one)}" if brief == 0 else ""
    return f"{signs.changing} {one.endpoint}{what} {stage_name(one)}{place}, {wait_told(one, now)}"


def last_words(one: RolloutView, now: datetime, *, watched: bool) -> str:
    """What the shell is told when a person leaves; `watched`: a guardian is there, which takes it up where nobody drives it just now."""
    if not one.driver and not watched:
        goes = f"nobody drives {subject_of(one)} {turn(one)} just now: it stays at {stage_name(one)}"
        return f"{goes} (mlconsole guardian start; mlconsole rollout status {one.endpoint})"
    if one.state == "going back":
        return f"goes on without you: {subject_of(one)} goes back to {stable_of(one)} (mlconsole rollout status {one.endpoint})"
    stage = stage_of(one)
    ends = stage.ends if stage is not None else None
    look = "" if one.state == "paused" else f", next look {moment(ends, now)}" if ends is not None and ends > now else ", next look at once"
    paused = ", paused" if one.state == "paused" else ""
    return f"goes on without you: {subject_of(one)} {turn(one)}{paused}{look} (mlconsole rollout status {one.endpoint})"


# What needs a person.


def holds_for(one: RolloutView, now: datetime) -> str:
    """Why a person may want to look at a rollout that goes on: evidence that takes long or does not come at all, what can't be asked, a
    dry run that would go back, a deadline; empty while it just takes its time.
    """
    name, at = subject_of(one), stage_name(one)
    if one.state == "paused":
        return f"{name} is paused at {at}{f': {one.why}' if one.why else ''}"
    if one.state not in ("waiting", "baking"):
        return ""
    if one.deadline is not None and now >= one.deadline:
        return f"{name} holds at {at}: it was to be through by {moment(one.deadline, now)}"
    waited = (now - stage_began(one)).total_seconds()
    for guard in one.guards:
        if guard.verdict == "error" and not guard.dry_run and waited >= _SOON:
            return f'{name} holds at {at}: "{guard.guard}"{_inside(guard)} could not be asked{f": {guard.text}" if guard.text else ""}'
    slow = slowest(one)
    if slow is not None and ((slow.seconds is not None and slow.seconds >= _LONG) or (slow.seconds is None and waited >= _SOON)):
        about = f", about {duration(slow.seconds)}" if slow.seconds is not None else ", and none come"
        return f"{name} waits for evidence{_inside(slow)}: {count(slow.n)} of {count(slow.n + slow.need)} requests{about}"
    for text in one.waits_for:
        if text.startswith("requests: none"):
            return one.why or f"{name} holds at {at}: no request comes"
        if text.endswith("in a dry run"):
            return f"{name} holds at {at}: {text}, so it does not go back by itself"
    return ""


def _inside(guard: GuardView) -> str:
    return f" in {value_of(guard.slice)}" if guard.slice else ""


# Lines.


def title(one: RolloutView, endpoint: EndpointView) -> Line:
    """`relevance · #43 · v6 → v7 · careful`."""
    if one.state == "going back":
        numbers = f" · #{one.release} → #{one.back_to}" if one.release and one.back_to else ""
        return line((one.endpoint, BOLD), f"{numbers} · ", ("GOING BACK, nothing for you to do", BOLD))
    release = one.release or endpoint.release
    number = f" · #{release}" if release else ""
    paused: list[Span] = [(" · PAUSED", YELLOW)] if one.state == "paused" else []
    return line((one.endpoint, BOLD), f"{number} · {turn(one, ' → ')} · {one.policy}", *paused)


def stages_line(one: RolloutView, width: int, signs: Signs) -> Line:
    """`shadow ✔ ─ 1 % ✔ ─ 10 % ● ─ 50 % ─ 100 %`; where there is no room, the present stage and what is near to it."""
    pieces: list[list[Span]] = []
    for stage in one.stages:
        if stage.state == "done":
            pieces.append([(f"{stage.name} ", DIM), (signs.ok, GREEN)])
        elif stage.state == "now":
            pieces.append([(f"{stage.name} ●", f"{BOLD} {YELLOW if one.state == 'paused' else CYAN}")])
        else:
            pieces.append([(stage.name, "")])
    begin, end = 0, len(pieces)
    while end - begin > 1 and _joined_width(pieces[begin:end], begin, len(pieces) - end) > width:
        if one.stage - begin > end - 1 - one.stage or end - 1 <= one.stage:
            begin += 1
        else:
            end -= 1
    spans: list[Span] = [("… ", DIM)] if begin else []
    for place, piece in enumerate(pieces[begin:end]):
        spans += [(" ─ ", DIM)] if place else []
        spans += piece
    return line(*spans, *([(" …", DIM)] if end < len(pieces) else []))


def _joined_width(pieces: Sequence[Sequence[Span]], before: int, after: int) -> int:
    return sum(width_of(piece) for piece in pieces) + 3 * (len(pieces) - 1) + 2 * bool(before) + 2 * bool(after)


def started_line(one: RolloutView, now: datetime) -> Line:
    """`started 10:00 anna · done about 14:00`."""
    parts = [f"started {moment(one.started, now)} {one.who.partition('@')[0]}"]
    if one.done_about is not None and one.state != "going back":
        parts.append(f"done about {moment(one.done_about, now)}")
    if one.deadline is not None:
        parts.append(f"deadline {moment(one.deadline, now)}")
    if one.stops_old:
        parts.append(f"then {stable_of(one)} stops")
    spans: list[Span] = [(" · ".join(parts), "")]
    if one.skipped_gates:
        spans.append((f" · skipped: {', '.join(one.skipped_gates)}", YELLOW))
    if not one.driver:
        spans.append((" · nobody drives it just now", YELLOW))
    elif one.attended:
        spans.append((" · attended", DIM))
    return line(*spans)


def way_back_lines(one: RolloutView, width: int, keys: Mapping[str, str], now: datetime) -> list[Line]:
    """What takes it back and holds it, what comes next, and what that is missing."""
    if one.state == "going back":
        return [*folded("under way, by itself", width), *folded("it ends when nobody reaches the new variant any more", width, style=DIM)]
    lines: list[Line] = []
    if "revert" in one.controls:
        lines += folded(back_told(one), width, first=f"{keys['go_back']}  ")
    lines += folded("guards do it alone on a FAIL", width)
    if "pause" in one.controls:
        lines += folded("hold here (guards go on)", width, first=f"{keys['pause']}  ")
    if "resume" in one.controls:
        lines += folded("go on from here", width, first=f"{keys['pause']}  ")
    lines += [line((piece, BOLD if place == 0 else "")) for place, piece in enumerate(_pieces(next_told(one, now), width))]
    for text in one.waits_for[:4]:
        lines += folded(text, width, first="   ", style=YELLOW if text == one.waits_for[0] else "")
    if "next" in one.controls:
        lines += folded("now, without it: asks why", width, first=f"{keys['next_stage']}  ")
    if evidence_counts(one):
        lines += folded("lets shadow evidence count", width, first=f"{keys['evidence']}  ")
    if one.stops_old:
        kept = f"; {keys['more']} keeps it" if "keep old" in one.controls else ""
        lines += folded(f"after the bake {stable_of(one)} is stopped{kept}", width, style=DIM)
    return lines


def way_back_short(one: RolloutView, keys: Mapping[str, str], now: datetime) -> list[Line]:
    """The same in two lines."""
    if one.state == "going back":
        return [line(("way back  ", BOLD), "under way, until nobody reaches the new variant any more")]
    missing = f": {'; '.join(one.waits_for)}" if one.waits_for else ""
    back = f"{keys['go_back']}  {back_told(one)}" if "revert" in one.controls else "none just now"
    return [line(next_told(one, now), (missing, YELLOW)), line(("way back  ", BOLD), back)]


def back_told(one: RolloutView) -> str:
    """Where `u` leads: `to #42: v6 100 %, about 70 s`."""
    return one.way_back or (f"to #{one.back_to}" if one.back_to else f"to {stable_of(one)}")


def next_told(one: RolloutView, now: datetime) -> str:
    """`NEXT: 50 % when all guards pass`."""
    after = following(one)
    if one.state == "paused":
        return "HELD by hand: nothing goes on before you say so"
    if one.state == "shifting":
        return f"NOW: the change to {stage_name(one)} is under way"
    if one.state == "baking" or after is None:
        about = f", about {moment(one.done_about, now)}" if one.done_about is not None else ""
        return f"NEXT: done when the bake is over{about}"
    return f"NEXT: {after.name} when all guards pass"


def evidence_counts(one: RolloutView) -> bool:
    """Whether shadow evidence could be let count, and does not yet."""
    return "count shadow" in one.controls and not one.shadow_counts and had_shadow(one)


def had_shadow(one: RolloutView) -> bool:
    """Whether a shadow stage is over, so that there is evidence of it."""
    return any(stage.name.startswith("shadow") and stage.state == "done" for stage in one.stages)


def event_lines(one: RolloutView, width: int, room: int) -> list[Line]:
    """What happened in it, newest first: a line each, or all in one where there is no room for more."""
    events = list(reversed(one.events))
    if room <= 1 and len(events) > 1:
        return [line(" │ ".join(f"{clock(at)} {text}" for at, text in events))]
    return [line((f"{clock(at)}  ", DIM), text) for at, text in events]


def result_line(one: RolloutView, now: datetime, signs: Signs) -> Line:
    """One that is over: when, how it ended, and why."""
    signed: dict[str, Span] = {
        "done": (f"{signs.ok} rollout done", GREEN),
        "reverted": (f"{signs.failing} went back", RED),
        "failed": (f"{signs.failing} failed", RED),
        "superseded": (f"{signs.changing} superseded", CYAN),
    }
    when = moment(one.ended, now) if one.ended is not None else ""
    back = f" to #{one.back_to}" if one.state == "reverted" and one.back_to else ""
    told = signed.get(one.state, (one.state, ""))
    return line((f"{when}  ", DIM), f"{turn(one, ' → ')}  ", told, f"{back}  {one.why}".rstrip())


def folded(text: str, width: int, *, first: str = "", style: str = "") -> list[Line]:
    """A text in lines; `first` stands bold before it, and the others are indented as far."""
    pieces = _pieces(text, width - len(first))
    return [line((first if place == 0 else " " * len(first), BOLD), (piece, style)) for place, piece in enumerate(pieces)]


def _pieces(text: str, width: int) -> list[str]:
    import textwrap

    # A length of time stays whole: `1 h 09`.
    whole = _TIME.sub(lambda found: found.group().replace(" ", _HARD), text)
    return [piece.replace(_HARD, " ") for piece in textwrap.wrap(whole, max(8, width), break_on_hyphens=False)] or [""]
