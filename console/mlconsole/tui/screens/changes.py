"""What happened, told: a change, an adoption, a request for approval, or something that was changed outside; as a row, lines, a report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len

from mlconsole.core.documents import document_of, target_told
from mlconsole.core.text import duration
from mlconsole.core.traffic import percent
from mlconsole.engine.documentviews import DocumentView
from mlconsole.engine.views import ApprovalView, EndpointView, OperationView, Origin, ReleaseView, Snapshot, State, StepView
from mlconsole.tui import request_words
from mlconsole.tui.pane import Line, Span, fitted, line
from mlconsole.tui.screens.endpoints import endpoint_why_off, share_text, wrapped
from mlconsole.tui.signs import BOLD, CYAN, DIM, GREEN, MAGENTA, RED, YELLOW, Signs
from mlconsole.tui.table import Row

ADOPTED = ("as found", "kept")
"""Kinds of releases that no change made: what was there was taken over."""


@dataclass(frozen=True)
class Happening:
    """One line of the history; exactly one of the four is set."""

    key: str
    at: datetime
    endpoint: str
    change: OperationView | None = None
    adopted: ReleaseView | None = None
    outside: EndpointView | None = None
    request: ApprovalView | None = None

    @property
    def who(self) -> str:
        """`anna@bastion-1`; `outside` where nobody of us was it."""
        one = self.change or self.adopted
        return one.who if one else self.request.author if self.request else "outside"

    def is_by(self, who: str) -> bool:
        """Whether that person did what happened last: of a request whoever said the last word to it."""
        return self.request.last[1] == who.partition("@")[0] if self.request else self.who == who

    @property
    def over(self) -> datetime | None:
        """When it came to its end, so far as it has one."""
        return self.change.ended if self.change else self.request.last[0] if self.request else self.at

    @property
    def release(self) -> int | None:
        """The release that it made, whether that stood or not."""
        return self.change.release if self.change else self.adopted.number if self.adopted else None

    @property
    def content(self) -> str:
        """What was to be live by it."""
        if self.request is not None:
            return self.request.summary
        return self.change.then if self.change else self.adopted.content if self.adopted else ""

    @property
    def reason(self) -> str:
        """Why, in the words of who did it."""
        one = self.change or self.adopted or self.request
        return one.reason if one else ""

    @property
    def running(self) -> bool:
        """Not at its end, driven by somebody or not."""
        return self.change is not None and self.change.state in ("running", "going back")

    @property
    def is_fault(self) -> bool:
        """What a person may want to look at: it went back, nobody drives it, nobody of us did it; a word is missing, or was no."""
        if self.request is not None:
            return self.request.state in ("waiting", "rejected", "lapsed")
        return self.outside is not None or (self.change is not None and (self.change.interrupted or self.change.state == "went back"))


def happenings(snapshot: Snapshot) -> list[Happening]:
    """Everything that happened, newest first; what was changed outside stands above it: it is still so."""
    found = [Happening(f"change {one.id}", one.started, one.endpoint, change=one) for one in snapshot.changes]
    found += [Happening(f"release {one.name}", one.created, one.endpoint, adopted=one) for one in snapshot.releases if one.kind in ADOPTED]
    found += [Happening(request_key(one.number), one.asked, one.endpoint, request=one) for one in snapshot.approvals]
    found.sort(key=lambda one: one.at, reverse=True)
    outside = [one for one in snapshot.status.endpoints if is_outside(one)]
    return [Happening(f"outside {one.name}", snapshot.status.at, one.name, outside=one) for one in outside] + found


def request_key(number: int) -> str:
    """The row of a request."""
    return f"request {number}"


def is_outside(endpoint: EndpointView) -> bool:
    """Somebody else made or changed it, and nobody has chosen yet."""
    if endpoint.state is State.NO_DATA or endpoint.operation is not None:
        return False
    return endpoint.release is None or "changed outside" in endpoint.finding


def short(content: str) -> str:
    """`v3 100 %` is `v3` where there is little room."""
    name, _, share = content.partition(" ")
    return name if share == "100 %" else content


_SPLIT = re.compile(r"\S+ [\d.]+(?: · \S+ [\d.]+)+")


def turned(now: str, then: str) -> str:
    """What became of what, in few words: `v3 → v4`, `90/10 → 75/25`, `+ v4 at 0`."""
    if now == "nothing":
        return short(then)
    if then.startswith(f"{now} · "):
        return f"+ {then.removeprefix(f'{now} · ')}"
    if now.startswith(f"{then} · "):
        return f"without {now.removeprefix(f'{then} · ')}"
    if _SPLIT.fullmatch(now) and _SPLIT.fullmatch(then):
        before, after = ([part.rpartition(" ") for part in content.split(" · ")] for content in (now, then))
        if [name for name, _, _ in before] == [name for name, _, _ in after]:
            return f"{'/'.join(share for _, _, share in before)} → {'/'.join(share for _, _, share in after)}"
    return f"{short(now)} → {short(then)}"


def when(time: datetime, now: datetime) -> str:
    """`16:38` today, `Sun 14:02` within a week, `6 Nov` before."""
    local, today = time.astimezone(), now.astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M}"
    if 0 < (today - local).days < 6 or (today.date() - local.date()).days == 1:
        return f"{local:%a %H:%M}"
    return f"{local.day} {local:%b}" + ("" if local.year == today.year else f" {local.year}")


def what(one: Happening) -> str:
    """The endpoint or the document, from what to what."""
    name = target_told(one.endpoint)
    if one.change is not None and document_of(one.endpoint) is not None:
        return f"{name} {one.change.now.removeprefix('config ')} → {one.change.then.removeprefix('config ')}"
    if one.change is not None:
        return f"{one.endpoint} {turned(one.change.now, 'deleted' if one.change.kind == 'delete' else one.change.then)}"
    if one.adopted is not None:
        return f"{name} {one.adopted.kind}: {short(one.adopted.content)}"
    if one.request is not None:
        return f"request {one.request.number}: {one.request.summary}"
    endpoint = one.outside
    if endpoint is None or endpoint.release is None:
        return f"{one.endpoint} is there, and nobody here made it"
    return f"{one.endpoint} {shares(endpoint, live=False)} → {shares(endpoint, live=True)}"


def shares(endpoint: EndpointView, *, live: bool) -> str:
    """`90/10`: what is wanted, or what is live, in the variants' order; their names where it is one alone."""
    found = [(one.name, one.reported if live else one.desired) for one in endpoint.variants]
    there = [(name, share) for name, share in found if share is not None]
    alone = [name for name, share in there if share]
    return alone[0] if len(alone) == 1 else "/".join(percent(share) for _, share in there) or "nothing"


def result(one: Happening, signs: Signs) -> Span:
    """How it went, the one coloured column."""
    if one.outside is not None:
        return ("≠ not ours" if one.outside.release is None else "≠ out of sync", MAGENTA)
    if one.request is not None:
        return request_words.result(one.request, signs)
    change = one.change
    if change is None:
        return f"{signs.ok} #{one.release}", GREEN
    if change.interrupted:
        return f"{signs.look} interrupted", YELLOW
    told = {"done": (f"{signs.ok} #{change.release}", GREEN), "went back": (f"{signs.failing} went back", RED)}
    return told.get(change.state, (f"{signs.changing} {change.state}", CYAN))


def row(one: Happening, now: datetime, signs: Signs, *, unseen: bool) -> Row:
    """The table's row."""
    change = one.change
    words = f"{what(one)} {one.who} {change.kind} {change.then} {change.problem} {change.reason} {change.id}" if change else what(one)
    return Row(
        one.key,
        {
            "when": "now" if one.outside is not None else when(one.at, now),
            "who": one.who.partition("@")[0],
            "what": (what(one), BOLD if unseen else ""),
            "result": result(one, signs),
        },
        text=f"{words} {one.who} {result(one, signs)[0]}",
    )


def step_lines(steps: Sequence[StepView], signs: Signs, width: int) -> list[Line]:
    """The journal of a change as a table: what was asked for, what was read back, how long it took."""
    if not steps:
        return [line(("no step was begun", DIM))]
    cells = [
        (
            str(step.index),
            ("back: " if step.back else "") + step.action,
            step.asked,
            step.read_back or step.problem or "–",
            duration(step.seconds) if step.seconds is not None else "–",
        )
        for step in steps
    ]
    heads = ("", "STEP", "ASKED FOR", "READ BACK", "TOOK")
    ends = [_sign(step, signs) for step in steps]
    widths = [max(cell_len(signs.plain(each[column])) for each in (heads, *cells)) for column in range(5)]
    widths = _fitting(widths, width - 2 * 5 - max(cell_len(text) for text, _ in ends))
    lines = [line((_cells(heads, widths, signs), DIM))]
    return lines + [line(_cells(texts, widths, signs), "  ", end) for texts, end in zip(cells, ends, strict=True)]


def _sign(step: StepView, signs: Signs) -> Span:
    told = {"done": (signs.ok, GREEN), "failed": (f"{signs.failing} failed", RED), "unknown": (f"{signs.no_data} unknown", YELLOW)}
    return told.get(step.state, (signs.changing, CYAN))


def _fitting(widths: list[int], room: int) -> list[int]:
    """The three columns of words give way, the widest first, down to a readable rest."""
    while sum(widths) > room and max(widths[1:4]) > 6:
        widest = max((1, 2, 3), key=lambda column: widths[column])
        widths[widest] -= 1
    return widths


def _cells(texts: Sequence[str], widths: Sequence[int], signs: Signs) -> str:
    told = []
    for place, (text, width) in enumerate(zip(texts, widths, strict=True)):
        told.append(fitted(text, width, signs, right=place == 4))
    return "  ".join(told)


def change_lines(change: OperationView, steps: Sequence[StepView] | None, signs: Signs, width: int) -> list[Line]:
    """The evidence of a change: its steps, and what came of it in words."""
    lines = step_lines(steps, signs, width) if steps is not None else [line(("reading its steps …", DIM))]
    if change.skipped_gates:
        lines += [line(""), *wrapped(f"{signs.look} skipped, for a reason: {', '.join(change.skipped_gates)}", width, YELLOW)]
    if change.problem:
        lines += [line(""), *wrapped(f"{signs.failing} {change.problem}", width, RED)]
    if change.interrupted:
        lines += wrapped(
            f"Nobody drives it any more. u goes back to {change.back_to}; mlconsole recover {change.id} ends it.", width, YELLOW
        )
    elif change.state == "went back":
        back = "Nothing is live, as before" if change.back_to == "nothing" else f"Live again, read back: {change.back_to}"
        lines += wrapped(f"{back}. What had been begun was taken away.", width, "")
    elif change.state in ("running", "going back"):
        lines += wrapped(f"It does not wait for you. u stops it and goes back to {change.back_to}.", width, "")
    return lines


def adopted_lines(release: ReleaseView, width: int) -> list[Line]:
    """What was taken over, and why there are no steps."""
    told = f"Nothing was changed: what was live ({release.content}) was taken over as #{release.number}"
    return wrapped(f"{told}, {'as it was found' if release.kind == 'as found' else 'though somebody else had made it'}.", width, "")


def outside_lines(endpoint: EndpointView, width: int, signs: Signs) -> list[Line]:
    """What we want beside what is live, and what that does meanwhile."""
    long = max([12, *(len(one.name) + 2 for one in endpoint.variants)])
    lines = [line((f"{'':<{long}}{'WE WANT':<14}LIVE NOW", DIM))]
    for one in endpoint.variants:
        wanted, live = share_text(one.desired), share_text(one.reported)
        if one.state == "missing":
            live = "not there"
        words = "" if wanted == live else MAGENTA
        lines.append(line((f"{one.name:<{long}}", BOLD), f"{wanted:<14}", (live, words)))
    other = [text for text in endpoint.differences if not text.endswith("%")]
    for text in other[:4]:
        lines += wrapped(f"{signs.look} {text}", width, YELLOW)
    lines.append(line(""))
    if endpoint.changed is not None:
        told = f"Our last change was #{endpoint.release}, {endpoint.changed.astimezone():%a %d %b %H:%M}; this came after it."
        lines += wrapped(told, width, "")
    if endpoint.author:
        lines += wrapped(f"It was changed {endpoint.author}.", width, "")
    if endpoint.recent_seconds and endpoint.recent:
        errors = 100 * endpoint.recent_failed / endpoint.recent
        lines += wrapped(
            f"Effect now: errors {errors:.1f} % of {endpoint.recent} requests in {duration(endpoint.recent_seconds)}.", width, ""
        )
    return lines + wrapped(f"Until you choose, changes to {endpoint.name} are refused (exit 5).", width, "")


def from_where(one: Happening) -> str:
    """Who it was, and from where, so far as anybody can know."""
    if one.request is not None:
        return one.request.author
    known = one.change or one.adopted
    if known is None:
        author = one.outside.author if one.outside is not None else ""
        return author.removeprefix("by ") or "somebody else: the backend does not say who"
    origin = known.origin
    if origin is None:
        return known.who
    return " · ".join(part for part in (_person(origin), origin.tool, origin.identity) if part)


def _person(origin: Origin) -> str:
    uid = f" (uid {origin.uid})" if origin.uid is not None else ""
    way = f"by ssh from {origin.ssh_client} on {origin.host}" if origin.ssh_client else f"on {origin.host}"
    return f"{origin.user}{uid} {way}"


def report(one: Happening, steps: Sequence[StepView] | None, environment: str, signs: Signs, now: datetime) -> str:
    """The same as plain text, for a chat or an incident."""
    if one.request is not None:
        head = f"request {one.request.number} ({environment}): {one.request.summary}   {result(one, signs)[0]}"
        return "\n".join([head, *request_words.report(one.request, now)])
    turn = f"{one.change.now} → {one.change.then}" if one.change else what(one).removeprefix(target_told(one.endpoint)).strip()
    texts = [f"{target_told(one.endpoint)} ({environment}): {turn}   {result(one, signs)[0]}"]
    if one.change is not None:
        change = one.change
        ended = f" – {change.ended:%H:%M:%S}" if change.ended else ""
        texts.append(f"{change.kind} {change.id}, {change.started:%Y-%m-%d %H:%M:%S}{ended} UTC, {from_where(one)}")
        texts += [f'reason: "{change.reason}"'] if change.reason else []
        texts += ["".join(text for text, _ in spans).rstrip() for spans in change_lines(change, steps, signs, 118)]
        texts.append(f"mlconsole history show {change.id} --env {environment}")
    elif one.outside is not None:
        texts += ["".join(text for text, _ in spans).rstrip() for spans in outside_lines(one.outside, 118, signs)]
        texts.append(f"mlconsole endpoints show {one.endpoint} --env {environment}")
    else:
        texts.append(f"{one.at:%Y-%m-%d %H:%M:%S} UTC, {from_where(one)}" + (f', "{one.reason}"' if one.reason else ""))
    return "\n".join(text for text in texts if text)


def back_of(one: Happening, snapshot: Snapshot, signs: Signs) -> tuple[str, int | None]:
    """Why there is no way back from here (empty: there is one), and to which release it leads (None: as the endpoint itself says)."""
    endpoint, name = snapshot.endpoint(one.endpoint), target_told(one.endpoint)
    if one.request is not None:
        return "u is off: a request changes nothing. u is on the row of the change that came of it.", None
    if one.outside is not None:
        return endpoint_why_off("go_back", one.outside), None
    if one.running:
        return "", None
    if endpoint is not None and endpoint.operation is not None:
        return f"u is off here: {name} is changing. On the row of that change u takes it back.", None
    if one.change is not None and one.change.state == "went back":
        return f"u is off: #{one.release} never came to stand; there is nothing to go back to here. Choose a row with {signs.ok}.", None
    if one.content in ("nothing", "deleted"):
        return f"u is off: #{one.release} deleted {name}. On an older row u brings that state back.", None
    document = _document(one, snapshot)
    if document is not None and document.release == one.release:
        return "" if document.way_back else f"u is off: nothing to go back to, #{one.release} is the first of {name}.", None
    if endpoint is None or one.release != endpoint.release:
        return "", one.release
    if is_outside(endpoint):
        return "", None
    if endpoint.way_back.startswith("none") or not endpoint.way_back:
        return f"u is off: nothing to go back to, #{one.release} is the first release of {name} that stood.", None
    if endpoint.way_back.startswith("this is a revert"):
        return f"u is off: #{one.release} went back already. Put the cursor on the change whose state you want, then u.", None
    return "", None


def _document(one: Happening, snapshot: Snapshot) -> DocumentView | None:
    """The config document that it is about."""
    name = document_of(one.endpoint)
    return next((each for each in snapshot.documents if each.name == name), None) if name is not None else None


def way_back_lines(one: Happening, snapshot: Snapshot, width: int, signs: Signs) -> list[Line]:
    """What `u` would do, and what it would leave alone; of a request what it waits for."""
    if one.request is not None:
        return request_words.state_lines(one.request, width, "enter")
    if snapshot.blind:
        return wrapped(f"off: {snapshot.blind}", width, "")
    endpoint = snapshot.endpoint(one.endpoint)
    why, to = back_of(one, snapshot, signs)
    if one.outside is not None:
        ours = f"puts ours back (#{one.outside.release}, {shares(one.outside, live=False)})"
        return ([] if why else _key("u", ours, width)) + _key("K", "keeps theirs, as a release of ours, with a reason", width)
    if one.running and one.change is not None:
        return _key("u", f"{'goes back' if one.change.interrupted else 'stops it and goes back'} to {one.change.back_to}", width)
    if why:
        return wrapped(why.removeprefix("u is off: ").removeprefix("u is off here: "), width, "")
    if to is None and endpoint is not None:
        if is_outside(endpoint):
            return _key("u", f"puts #{one.release} back; somebody changed {one.endpoint} outside", width)
        return _key("u", endpoint.way_back, width) + wrapped(f"#{one.release} is what is live now", width, DIM)
    document, name = _document(one, snapshot), target_told(one.endpoint)
    if document is not None and to is None:
        return _key("u", document.way_back, width) + wrapped(f"#{one.release} is what is live now", width, DIM)
    live = f"live is #{endpoint.release} ({endpoint.content})" if endpoint and endpoint.release else f"{name} is deleted now"
    live = f"live is {document.version}" if document is not None else live
    lines = _key("u", f"makes #{to} live again, as a new release: {one.content}", width)
    return lines + wrapped(f"Only {name} is touched; {live}.", width, DIM)


def _key(key: str, text: str, width: int) -> list[Line]:
    pieces = wrapped(text, width - 3, "")
    return [line((f"{key}  ", BOLD), *pieces[0]), *(line("   ", *piece) for piece in pieces[1:])]
