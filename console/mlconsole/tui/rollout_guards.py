"""The guards of a rollout as rows and lines, worst first: what fails, what holds and for what, what passes, what only informs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mlconsole.core.text import duration
from mlconsole.engine.views import EndpointView, GuardView, RolloutView, Snapshot
from mlconsole.tui.figures import clock, count, share
from mlconsole.tui.pane import Line, Span, line
from mlconsole.tui.rollout_words import OPEN, deciding, failing, folded, stable_of, stage_began, value_of
from mlconsole.tui.signs import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Signs
from mlconsole.tui.table import Column, Row

_NAMES = {"identical": "same output", "latency": "slower than p95"}
"""What is bad is large: the names of the figures, not of the questions."""

_OF = re.compile(r"\d+ of \d+")
_PLAIN = 0.05
"""The errors of all requests from which on an ordinary alarm says so."""

_ORDER = {"fail": 0, "error": 1, "no_data": 2, "inconclusive": 3, "pass": 4}


def columns(one: RolloutView) -> tuple[Column, ...]:
    """Named after the two variants."""
    return (
        Column("sign", "", least=1, most=2, keep=100),
        Column("guard", "GUARD", least=12, most=32, keep=100),
        Column("new", one.variant[:10], right=True, least=6, most=11, keep=90),
        Column("stable", stable_of(one)[:10], right=True, least=6, most=11, keep=70),
        Column("limit", "LIMIT", right=True, least=7, most=9, keep=60),
        Column("n", "n", right=True, least=5, most=9, keep=65),
        Column("verdict", "VERDICT", grows=True, least=14, most=90, keep=95),
    )


def heading(one: RolloutView) -> tuple[str, str]:
    """`guards since 10:56 · the worst language decides`, and when they were asked."""
    key = next((guard.slice.partition("=")[0] for guard in one.guards if "=" in guard.slice), "")
    decides = f" · the worst {key} decides" if key else ""
    return f"guards since {clock(stage_began(one))}{decides}", "NOT CHECKED YET" if one.checked is None else ""


def checked_told(one: RolloutView, now: datetime) -> str:
    """`checked 6 s ago`."""
    if one.checked is None:
        return "not checked yet"
    return f"checked {duration(max(1.0, (now - one.checked).total_seconds()))} ago"


def rows(one: RolloutView, signs: Signs, language: str = "") -> list[Row]:
    """Worst first. Slices in which a guard passes stand together, as do those that are not judged."""
    found = [guard for guard in one.guards if not language or not guard.slice or value_of(guard.slice) == language]
    groups: list[tuple[tuple[int, int], GuardView, list[GuardView]]] = []
    together: dict[tuple[str, str], list[GuardView]] = {}
    for place, guard in enumerate(found):
        if guard.judged and not guard.dry_run and guard.verdict != "pass":
            groups.append(((_ORDER.get(guard.verdict, 3), place), guard, [guard]))
            continue
        kind = "informs" if not guard.judged else "dry" if guard.dry_run else "pass"
        inside = together.setdefault((guard.guard, kind if kind != "dry" else f"dry {guard.verdict}"), [])
        if not inside:
            groups.append(((4 if kind == "pass" else 5 if kind == "dry" else 6, place), guard, inside))
        inside.append(guard)
    groups.sort(key=lambda group: (group[0][0], -(group[1].seconds or 0.0) if group[1].verdict in OPEN else 0.0, group[0][1]))
    return [_row(_representative(inside), inside, signs) for _, _, inside in groups]


def _representative(inside: Sequence[GuardView]) -> GuardView:
    """The one whose figures stand for all: that of all requests together, else the worst."""
    whole = next((guard for guard in inside if not guard.slice), None)
    return whole or max(inside, key=lambda guard: guard.new if guard.new is not None else -1.0)


def _row(guard: GuardView, inside: Sequence[GuardView], signs: Signs) -> Row:
    sign, verdict = _verdict(guard, inside, signs)
    quiet = not guard.judged or guard.dry_run
    told = _OF.match(guard.text) if guard.limit is None else None
    new = told.group() if told else _figure(guard.new)
    style = DIM if quiet else BOLD if guard.verdict in ("fail", *OPEN) else ""
    cells: dict[str, str | Span] = {
        "sign": sign,
        "guard": (f"{named(guard)}{_slices(inside)}", style),
        "new": (new, RED if guard.verdict == "fail" and not quiet else DIM if quiet else ""),
        "stable": ("" if told else _figure(guard.stable, ""), DIM),
        "limit": ("all" if told else limit_told(guard), DIM),
        "n": (count(guard.n) if guard.n else "", DIM if quiet else ""),
        "verdict": verdict,
    }
    return Row(f"{guard.guard}|{guard.slice}|{guard.verdict}|{quiet}", cells)


def named(guard: GuardView) -> str:
    """What a guard is called on screens."""
    return _NAMES.get(guard.guard, guard.guard)


def _slices(inside: Sequence[GuardView]) -> str:
    names = [name for guard in inside for name in (map(value_of, guard.pooled) if guard.pooled else [value_of(guard.slice)])]
    own = [name for name in dict.fromkeys(names) if name != "all"]
    if not own:
        return ""
    return f" · {' '.join(own)}" + (", all" if any(not guard.slice and not guard.pooled for guard in inside) else "")


def _figure(value: float | None, unknown: str = "–") -> str:
    if value is None:
        return unknown
    return share(value) if 0 <= value <= 1 else count(value)


def limit_told(guard: GuardView) -> str:
    """`+1.0 pt` where it is compared with the stable one; else as it is."""
    if guard.limit is None:
        return ""
    if guard.stable is not None:
        return f"{100 * guard.limit:+.1f} pt"
    return share(guard.limit) if 0 <= guard.limit <= 1 else f"> {count(guard.limit)}"


def _verdict(guard: GuardView, inside: Sequence[GuardView], signs: Signs) -> tuple[Span, Span]:
    """Its sign, and the words; only *pass* is green, only FAIL red."""
    if not guard.judged:
        return (signs.dot, DIM), (f"too few {signs.dot} only informs", DIM)
    if guard.dry_run:
        told = {"fail": "dry run: would go back", "pass": "dry run: pass"}.get(guard.verdict, f"dry run: {hold_told(guard)}")
        return (signs.look if guard.verdict == "fail" else signs.dot, YELLOW if guard.verdict == "fail" else DIM), (told, DIM)
    if guard.verdict == "fail":
        return (signs.failing, f"{BOLD} {RED}"), (f"FAIL  {guard.text}".rstrip(), f"{BOLD} {RED}")
    if guard.verdict == "pass":
        worst = max((each for each in inside if each.slice and each.new is not None), key=lambda each: each.new or 0.0, default=None)
        shown = worst is not None and len(inside) > 1 and worst.new != guard.new
        more = f"  worst {value_of(worst.slice)} {_figure(worst.new)}" if worst is not None and shown else ""
        return (signs.ok, GREEN), (f"pass{more}", GREEN if not more else "")
    return (signs.no_data, YELLOW), (hold_told(guard), YELLOW)


def hold_told(guard: GuardView) -> str:
    """`hold: 109 more, about 1 h 09`."""
    if guard.verdict == "error":
        return f"hold: could not be asked{f': {guard.text}' if guard.text else ''}"
    if guard.need:
        about = (
            f", about {duration(guard.seconds)}" if guard.seconds is not None else ", and none come" if guard.verdict == "no_data" else ""
        )
        return f"hold: {count(guard.need)} more{about}"
    return f"hold: {guard.text or ('no data yet' if guard.verdict == 'no_data' else 'too near to its limit')}"


# Going back: why, and how far it is.


def why_lines(one: RolloutView, snapshot: Snapshot, width: int) -> list[Line]:
    """What failed, by figures; and what an ordinary alarm says meanwhile."""
    found = failing(one)
    lines: list[Line] = []
    for guard in found[:3]:
        spans: list[Span] = [("FAIL  ", f"{BOLD} {RED}"), (f"{named(guard)} · {value_of(guard.slice)}", BOLD)]
        for label, text in (
            (one.variant, _figure(guard.new, "")),
            (stable_of(one), _figure(guard.stable, "")),
            ("limit", limit_told(guard)),
        ):
            spans.append((f"   {label} {text}" if text else "", ""))
        spans.append((f"   n {count(guard.n)}" if guard.n else "", ""))
        lines.append(line(*spans))
        lines += folded(guard.text, width, first="      ") if guard.text else []
    if one.why and not any(guard.guard in one.why for guard in found):
        lines += folded(one.why, width, style="" if found else RED)
    failed = {guard.slice for guard in found}
    fine = sorted(
        {value_of(guard.slice) for guard in deciding(one) if guard.slice and guard.verdict == "pass"} - set(map(value_of, failed))
    )
    if found and fine:
        lines += folded(f"{' '.join(fine)} {'is' if len(fine) == 1 else 'are'} fine.", width, first="      ")
    plain = plain_alarm(one.endpoint, snapshot)
    if plain:
        lines += folded(plain, width, first="      ", style=DIM)
    return lines


def plain_alarm(endpoint: str, snapshot: Snapshot) -> str:
    """What an alarm on 5 % of errors over all requests would say; empty where that is not known."""
    health = snapshot.health.endpoint(endpoint) if snapshot.health is not None else None
    errors = health.figures.errors if health is not None else None
    if errors is None:
        return ""
    return f"Over all requests {share(errors)} fail: a plain 5 % error alarm {'would say OK' if errors < _PLAIN else 'fires too'}."


def proof_line(one: RolloutView, endpoint: EndpointView, signs: Signs) -> Line:
    """Whether the variant still gets requests: what is observed, not what was asked for."""
    variant = next((each for each in endpoint.variants if each.name == one.variant), None)
    if endpoint.operation is not None:
        return line((f"{signs.dot} afterwards: waiting until {one.variant} gets no request any more", DIM))
    if variant is None:
        return line((f"{signs.ok} ", GREEN), f"{one.variant} is gone")
    if variant.observed is None:
        return line((f"{signs.changing} ", CYAN), f"waiting until {one.variant} gets no request … nothing is observed yet")
    if variant.observed > 0:
        return line(
            (f"{signs.changing} ", CYAN),
            f"waiting until {one.variant} gets no request … {variant.observed / 100:.1f} % (n {count(variant.observed_n)})",
        )
    return line((f"{signs.ok} ", GREEN), f"{one.variant} got none of the last {count(variant.observed_n)} requests")


def going_lines(one: RolloutView, endpoint: EndpointView, signs: Signs) -> list[Line]:
    """Its events, newest last, and what is waited for."""
    events = [line((f"{signs.ok} ", GREEN), (f"{clock(at, seconds=True)}  ", DIM), text) for at, text in one.events[-4:]]
    return [*events, proof_line(one, endpoint, signs)]


def phone_lines(one: RolloutView, signs: Signs, room: int) -> list[Line]:
    """What does not pass, a line each; then how many pass."""
    quiet = [guard for guard in one.guards if guard.dry_run or not guard.judged]
    bad = sorted((each for each in deciding(one) if each.verdict != "pass"), key=lambda each: _ORDER.get(each.verdict, 3))
    lines: list[Line] = []
    for guard in bad[:room]:
        sign, verdict = _verdict(replace(guard, text=guard.text[:40]), [guard], signs)
        lines.append(line(sign, " ", (f"{named(guard)} {value_of(guard.slice) if guard.slice else ''}".strip(), BOLD), " ", verdict))
    passed = sum(1 for guard in deciding(one) if guard.verdict == "pass")
    informs = f" · {len(quiet)} only inform" if quiet else ""
    if one.guards:
        lines.append(line((signs.ok if passed else signs.dot, GREEN if passed else DIM), f" {passed} pass{informs}"))
    return lines
