"""What of the config documents needs a person: a draft of theirs that is not published, what was changed outside, what did not come as
forecast. Pure, and light: the first frame needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from mlconsole.core.documents import config_target, document_of
from mlconsole.engine.documentviews import DocumentView, DraftView
from mlconsole.engine.views import Snapshot, State

Told = tuple[State, str, str]
"""A state, a sentence, and the target that it is about."""


def of_documents(snapshot: Snapshot) -> Iterator[Told]:
    """What needs a person, document by document."""
    alone = len(snapshot.documents) == 1
    changing = {each.endpoint for each in snapshot.status.running} | {each.endpoint for each in snapshot.rollouts if not each.over}
    for one in snapshot.documents:
        target, name = config_target(one.name), f"config {one.name}"
        if one.problem:
            yield State.NO_DATA, f"{name} can't be read: {one.problem}", target
        if one.outside:
            told = one.outside.replace(target, name)  # (`config_words` is not for the first frame)
            yield State.LOOK, told if "changed outside" in told else f"{name} was changed outside mlconsole: {told}", target
        yield from ((State.LOOK, text, target) for text in _not_as_forecast(one, name))
        draft = one.draft if target not in changing else None
        if draft is not None and is_own(draft, snapshot.who) and (draft.differences or one.version is None):
            yield State.LOOK, draft_told(one, draft, alone=alone), target


def draft_told(one: DocumentView, draft: DraftView, *, alone: bool = True) -> str:
    """`your draft on 126 is not published: 1 value, 2 findings`."""
    of = "" if alone else f" of {one.name}"
    on = f" on {draft.base}" if draft.base is not None else ""
    values, findings = len(draft.differences), sum(1 for each in draft.findings if each.severity != "ok")
    parts = [several(values, "value")] if one.version is not None else []
    parts += [several(findings, "finding")] if findings else []
    return f"your draft{of}{on} is not published" + (f": {', '.join(parts)}" if parts else "")


def is_own(draft: DraftView, who: str) -> bool:
    """Whether a draft is of whoever looks."""
    return draft.who.partition("@")[0] == who.partition("@")[0]


def several(number: int, word: str) -> str:
    """`1 value`, `2 values`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def published(snapshot: Snapshot, target: str) -> datetime | None:
    """When the newest version of a document was made; None where that is not known, and for what is no document."""
    name = document_of(target)
    one = next((each for each in snapshot.documents if each.name == name), None)
    return max((each.created for each in one.versions if each.created is not None), default=None) if one is not None else None


def _not_as_forecast(one: DocumentView, name: str) -> Iterator[str]:
    forecast = one.forecast
    if forecast is None or forecast.version != one.version:
        return
    broken = [row for row in forecast.rows if row.verdict == "broken"]
    if broken:
        where = ", ".join(" · ".join(part for part in (row.model, row.slice) if part) for row in broken[:3])
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        yield f"{name} {one.version} does not as forecast in {where}{more}: {broken[0].text}".rstrip(": ")
