"""What a colleague asks for: read its report, and say a word to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlconsole.tui.confirm import ConfirmBox
from mlconsole.tui.dialogs import Ask, Choice, Option, TextBox
from mlconsole.tui.health_words import folded
from mlconsole.tui.pane import Line, line
from mlconsole.tui.signs import BOLD, YELLOW, Signs

if TYPE_CHECKING:
    from textual import events

    from mlconsole.engine.session import Session
    from mlconsole.engine.views import ApprovalView
    from mlconsole.tui.app import ConsoleApp

_REJECT = "reject"


def open_requests(app: ConsoleApp) -> None:
    """The requests that wait in this environment: one is opened at once, of several a person chooses."""

    def call(session: Session) -> Sequence[ApprovalView]:
        from mlconsole.engine import approving

        return approving.requests(session)

    def found(requests: Sequence[ApprovalView]) -> None:
        if not requests:
            app.say(f"No request waits for an approval in {app.environment.name}. mlconsole approvals list shows those that are over.")
        elif len(requests) == 1:
            show(app, requests[0])
        else:
            options = [Option(str(one.number), f"{one.number} · {one.endpoint}", f"{one.summary} · {one.needs}") for one in requests]
            by_number = {str(one.number): one for one in requests}
            app.push_screen(
                Choice("requests that wait", options), lambda number: show(app, by_number[number]) if number in by_number else None
            )

    app.ask("looking for requests that wait", call, found)


def open_request(app: ConsoleApp, number: int) -> None:
    """One request as it is now, open or over."""

    def call(session: Session) -> ApprovalView:
        from mlconsole.engine import approving

        return approving.view(session, number)

    app.ask(f"reading request {number}", call, lambda found: show(app, found))


def show(app: ConsoleApp, request: ApprovalView) -> None:
    """One request: its report, and `y` or `n` for who may say a word to it, while there is one to say."""
    if request.why_not or not request.open:
        lines = [*_told(request, 96), line(""), line((request.why_not, f"{BOLD} {YELLOW}"))]
        app.push_screen(TextBox(f"request {request.number}", lines))
        return

    def said(word: str | None) -> None:
        if word is None:
            app.say(f"Nothing was said to request {request.number}.")
        elif word == _REJECT:
            ask = Ask(
                f"reject request {request.number}",
                [line("Why? Who asked reads it.")],
                check=lambda text: "" if text else "In a few words, please.",
            )
            app.push_screen(ask, lambda why: _say(app, request, _REJECT, why) if why is not None else None)
        else:
            _say(app, request, "approve", "")

    app.push_screen(ApprovalBox(request, app.signs), said)


class ApprovalBox(ConfirmBox):
    """Shows a request, and takes a colleague's word: `y` approves, `n` rejects."""

    def __init__(self, request: ApprovalView, signs: Signs) -> None:
        super().__init__(signs, confirm=None, yes="y approve  n reject")
        self._request = request

    def heading(self, width: int) -> tuple[Line, str]:
        """Which request."""
        return line((f"request {self._request.number} · {self._request.endpoint}", BOLD)), "nothing was said yet"

    def told(self, width: int) -> list[Line]:
        """What it would make of the endpoint, who asked for it, and what was said to it."""
        return _told(self._request, width)

    def command(self) -> str:
        """The command that says the same."""
        return f"mlconsole approvals approve {self._request.number}"

    def on_key(self, event: events.Key) -> None:
        """`n` rejects; everything else as in any such box."""
        if event.key == "n":
            self.dismiss(_REJECT)
            event.stop()
            event.prevent_default()
            return
        super().on_key(event)


def _told(request: ApprovalView, width: int) -> list[Line]:
    rows = [
        ("what", request.summary),
        *((name, text) for name, text in request.parts),
        ("asked by", f"{request.author} · {request.asked.astimezone():%d %b %H:%M}"),
        ("reason", request.reason),
        ("needs", request.needs),
        *((f"☐ {question}" if not answer else f"☑ {question}", answer or "open") for question, answer in request.checklist),
        *((vote.who, f"{vote.say} {vote.text}".strip() + f" · {vote.at.astimezone():%d %b %H:%M}") for vote in request.votes),
        ("state", f"{request.state}{f', used for {request.used}' if request.used else ''}"),
        ("why", request.why),
        ("report", f"mlconsole approvals show {request.number} --md"),
    ]
    lines: list[Line] = []
    for name, text in rows:
        if text:
            lines += folded(text, width, first=f"{name:<10} ")
    return [*lines, line(""), line("Recorded, and enforced by this tool only.")]


def _say(app: ConsoleApp, request: ApprovalView, word: str, text: str) -> None:
    def call(session: Session) -> ApprovalView:
        from mlconsole.core.approvals import Say
        from mlconsole.engine import approving

        return approving.say(session, request.number, Say(word), text)

    def done(now: ApprovalView) -> None:
        then = f"Still {now.needs}." if now.needs else f"It begins with: {now.command}"
        app.say(" · ".join((f"{app.signs.ok} request {now.number}: {now.state}. {then}", *now.notes)))
        app.look()

    app.ask(f"request {request.number}: {word}", call, done)
