"""Requests for approval, told: what was asked and said, in order; what it waits for, or was good for; and as a report to paste."""

from __future__ import annotations

from datetime import datetime

from mlconsole.engine.views import ApprovalView
from mlconsole.tui.figures import moment
from mlconsole.tui.health_words import folded
from mlconsole.tui.pane import Line, Span, line
from mlconsole.tui.signs import BOLD, DIM, GREEN, RED, YELLOW, Signs


def said_lines(one: ApprovalView, now: datetime, width: int) -> list[Line]:
    """Who asked, who said what to it, and how it ended, in the order of time."""
    told = [(one.asked, one.author.partition("@")[0], f"asks for it{_quoted(one.reason)}", "")]
    words = {"approve": ("approves it", ""), "reject": ("rejects it", RED)}
    for vote in one.votes:
        says, style = words.get(vote.say, (vote.say, ""))
        told.append((vote.at, vote.who, f"{says}{_quoted(vote.text)}", style))
    if one.state in ("lapsed", "withdrawn") and one.ended is not None:
        told.append((one.ended, one.state, one.why, YELLOW))
    lines: list[Line] = []
    told.sort(key=lambda each: each[0])
    first, long = (max(len(text) for text in texts) for texts in zip(*((moment(at, now), who) for at, who, _, _ in told), strict=True))
    for at, who, text, style in told:
        lines += folded(text, width, first=f"{moment(at, now):<{first}}  {who:<{long}}  ", style=style)
    if one.used:
        lines += folded(f"used for {one.used}", width, first=" " * (first + long + 4), style=DIM)
    return lines


def state_lines(one: ApprovalView, width: int, key: str) -> list[Line]:
    """What it waits for and who may say a word to it; or what it was good for. `key` reads it."""
    if one.state == "waiting":
        reads = f"{key} reads it: y approves, n rejects" if not one.why_not else one.why_not
        return [*folded(one.needs, width, style=BOLD), *folded(reads, width)]
    if one.state == "approved" and not one.used:
        return [*folded("Good for one change:", width, style=BOLD), *folded(one.command, width)]
    if one.used:
        return folded(f"It was good for one change, {one.used}.", width)
    return folded("Nothing will come of it. Who still wants it asks again.", width)


def effect_lines(one: ApprovalView, width: int) -> list[Line]:
    """What it would make of the endpoint, and the checklist."""
    lines: list[Line] = []
    for name, text in one.parts:
        lines += folded(text, width, first=f"{name}: ")
    for question, answer in one.checklist:
        lines += folded(answer or "open", width, first=f"{question}: ", style="" if answer else YELLOW)
    return lines


def result(one: ApprovalView, signs: Signs) -> Span:
    """How it stands, the coloured column."""
    told = {
        "waiting": (f"{signs.look} waits", YELLOW),
        "approved": (f"{signs.ok} approved", GREEN),
        "rejected": (f"{signs.failing} rejected", RED),
        "lapsed": (f"{signs.look} lapsed", YELLOW),
    }
    return told.get(one.state, (one.state, DIM))


def report(one: ApprovalView, now: datetime) -> list[str]:
    """The same as plain text, for a chat or an incident."""
    lines = [*said_lines(one, now, 118), *effect_lines(one, 118), *state_lines(one, 118, "mlconsole approvals show")[:1], line()]
    texts = ["".join(text for text, _ in spans).rstrip() for spans in lines]
    return [*(text for text in texts if text), f"mlconsole approvals show {one.number} --md"]


def _quoted(text: str) -> str:
    return f': "{text}"' if text else ""
