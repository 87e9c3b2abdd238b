"""`approvals`: what waits for a colleague's word, and giving it. Recorded, and enforced by this tool only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.cli.common import Run, columns, command

if TYPE_CHECKING:
    from datetime import datetime

    from mlconsole.engine.views import ApprovalView

app = typer.Typer(help="A colleague's word on what goes forward.", no_args_is_help=True)

SIGNS = {"waiting": "?", "approved": "✔", "rejected": "✖", "lapsed": "▲", "withdrawn": "·"}
_NUMBER = Annotated[int, typer.Argument(metavar="REQUEST", min=1, help="Its number.")]


@command(app, "list")
def list_requests(
    run: Run,
    every: Annotated[bool, typer.Option("--all", help="Also those that are decided and over.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="COUNT")] = 50,
) -> None:
    """What waits for approval here, or is approved and not done yet; newest first."""
    from mlconsole.engine import approving

    found = approving.requests(run.session, open_only=not every, limit=limit)
    if run.json:
        run.emit({"approvals": [approval_json(one) for one in found]})
        return
    if not found:
        asked = "No request was ever made" if every else "Nothing waits for approval"
        run.say(f"{asked} in {run.session.environment.name}.")
        return
    rows = [["REQUEST", "ASKED", "BY", "WHAT", "STATE"]]
    for one in found:
        rows.append([str(one.number), _moment(one.asked), one.author, one.summary, _state(one)])
    for line in columns(rows, frozenset({0}), wide=3):
        run.say(line)


@command(app)
def show(
    run: Run,
    request: _NUMBER,
    md: Annotated[bool, typer.Option("--md", help="The whole report as markdown, for a pull request.")] = False,
) -> None:
    """One request: what it would do, what was said to it, what is still open."""
    from mlconsole.engine import approving

    one = approving.view(run.session, request)
    if run.json:
        run.emit({"approval": {**approval_json(one), "report": approving.markdown(run.session, request)}})
        return
    lines = approving.markdown(run.session, request).splitlines() if md else told(one)
    for line in lines:
        run.say(line, indent=None if md else 4)


@command(app)
def approve(
    run: Run, request: _NUMBER, text: Annotated[str, typer.Argument(metavar="TEXT", help="What you have to say to it.")] = ""
) -> None:
    """Approve a request. It is good for one change, and only for that effect; one's own can't be approved."""
    from mlconsole.core.approvals import Say
    from mlconsole.engine import approving

    one = approving.say(run.session, request, Say.APPROVE, text)
    _done(run, one, f"approved request {one.number}: {one.summary}. {one.needs or f'It can be done now: {one.command}'}")
    for question in one.unanswered:
        run.say(f"  ▲ not answered: {question}", indent=4)


@command(app)
def reject(run: Run, request: _NUMBER, text: Annotated[str, typer.Argument(metavar="TEXT", help="Why.")]) -> None:
    """Reject a request, with a reason. One is enough."""
    from mlconsole.core.approvals import Say
    from mlconsole.engine import approving

    one = approving.say(run.session, request, Say.REJECT, text)
    _done(run, one, f"rejected request {one.number}: {one.summary}. Nothing will come of it.")


@command(app)
def check(
    run: Run,
    request: _NUMBER,
    answers: Annotated[list[str], typer.Argument(metavar="ITEM=yes|no", help="A question by its number or its begin; a text may follow.")],
) -> None:
    """Answer the checklist of a request; the answers are kept with it."""
    from mlconsole.engine import approving

    one = approving.check(
        run.session, request, _answers([question for question, _ in approving.view(run.session, request).checklist], answers)
    )
    _done(run, one, f"{len(one.checklist) - len(one.unanswered)} of {len(one.checklist)} answered in request {one.number}")
    for question in one.unanswered:
        run.say(f"  open: {question}", indent=4)


@command(app)
def withdraw(run: Run, request: _NUMBER, text: Annotated[str, typer.Argument(metavar="TEXT", help="Why.")] = "") -> None:
    """Take one's own request back."""
    from mlconsole.engine import approving

    one = approving.withdraw(run.session, request, text)
    _done(run, one, f"request {one.number} is withdrawn: {one.summary}. Nothing will come of it.")


def is_request(run: Run, what: str, until: str) -> bool:
    """Whether `wait` is asked for a request: a number that is one's, `approved` said or nothing.

    Raises:
        UsageError: `--until approved` of what is no number.
    """
    from mlconsole.plugin.errors import UsageError

    number = what.isascii() and what.isdigit() and len(what) < 10
    if until == "approved":
        if not number:
            raise UsageError(f'"{what}" is no request: a number is wanted, like 12.', next="mlconsole approvals list")
        return True
    return not until and number and run.session.registry.approval(int(what)) is not None


def wait_for(run: Run, number: int) -> None:
    """Wait until a request is approved. Exit 7 when it was rejected, withdrawn, or lapsed; 8 when the time is up."""
    from mlconsole.engine import approving

    one = approving.wait(run.session, number, run.timeout)
    used = f" and done ({one.used})" if one.used else f". To do it: {one.command}"
    _done(run, one, f"request {one.number} ({one.summary}) is approved{used}")


def _done(run: Run, one: ApprovalView, sentence: str) -> None:
    if run.json:
        run.emit({"approval": approval_json(one), "sentence": sentence})
    run.say(f"✔ {sentence}", indent=2)
    for note in one.notes:
        run.say(f"  · {note}", indent=4)


def _answers(questions: list[str], given: list[str]) -> dict[str, str]:
    """`2=yes`, `read=no: pair 12 is wrong`; a question may hold an equals sign itself."""
    from mlconsole.plugin.errors import UsageError

    found: dict[str, str] = {}
    for text in given:
        whole = next((one for one in questions if text.startswith(f"{one}=")), None)
        item, equals, answer = (whole, "=", text[len(whole) + 1 :]) if whole else text.partition("=")
        word = answer.strip().partition(" ")[0].rstrip(":,.").casefold()
        if not equals or not item.strip() or word not in ("yes", "no"):
            raise UsageError(
                f'"{text}" is no answer: ITEM=yes or ITEM=no is wanted. Nothing was changed.', next='A text may follow: 2="no: why".'
            )
        if item.strip() in found:
            raise UsageError(f'"{item.strip()}" is answered twice. Nothing was changed.')
        found[item.strip()] = answer.strip()
    return found


def told(one: ApprovalView) -> list[str]:
    """A request for people."""
    lines = [
        f"request {one.number} · {one.summary} · {_state(one)}",
        f"  asked by {one.author}, {_moment(one.asked)}{f': {one.reason}' if one.reason else ''}",
        f"  plan {one.plan}",
        *(f"  {name}: {value}" for name, value in one.parts),
    ]
    for number, (question, answer) in enumerate(one.checklist, 1):
        lines.append(f"  {'✔' if answer else '▲'} {number} {question}{f': {answer}' if answer else ' (open)'}")
    lines += [f"  {vote.who} {vote.say}s it, {_moment(vote.at)}{f': {vote.text}' if vote.text else ''}" for vote in one.votes]
    lines += [f"  {one.why}"] if one.why else []
    if one.open:
        lines += [f"  {one.needs}"] if one.needs else []
        lines.append(f"  {one.why_not}" if one.why_not else f"  You may say a word: mlconsole approvals approve {one.number}, or reject")
        lines.append(f"  once approved: {one.command}")
    lines.append(f"  the report: mlconsole approvals show {one.number} --md")
    return [*lines, "  Recorded, and enforced by mlconsole only."]


def _state(one: ApprovalView) -> str:
    state = f"{SIGNS.get(one.state, '')} {one.state}".strip()
    return f"{state}, used for {one.used}" if one.used else state


def _moment(when: datetime) -> str:
    return f"{when.astimezone():%d %b %H:%M}"


def approval_json(one: ApprovalView) -> dict[str, Any]:
    """A request for scripts."""
    from mlconsole.cli.changes import time_json

    return {
        "number": one.number,
        "environment": one.environment,
        "endpoint": one.endpoint,
        "plan": one.plan,
        "summary": one.summary,
        "state": one.state,
        "author": one.author,
        "asked": time_json(one.asked),
        "ended": time_json(one.ended),
        "reason": one.reason,
        "needs": one.needs,
        "why_not": one.why_not,
        "votes": [{"who": vote.who, "say": vote.say, "text": vote.text, "at": time_json(vote.at)} for vote in one.votes],
        "checklist": [{"question": question, "answer": answer or None} for question, answer in one.checklist],
        "effect": dict(one.parts),
        "command": one.command,
        "open": one.open,
        "used": one.used or None,
        "why": one.why,
        "notes": list(one.notes),
    }
