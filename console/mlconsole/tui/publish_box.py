"""The boxes before a config document is published: they ask which slice is meant, and do not say it before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mlconsole.engine.documentviews import DocumentView, DraftView
from mlconsole.tui.config_words import difference_told
from mlconsole.tui.confirm import ConfirmBox
from mlconsole.tui.pane import Line, Span, line
from mlconsole.tui.plan_box import PlanBox
from mlconsole.tui.rollout_box import RolloutBox
from mlconsole.tui.rollout_words import folded
from mlconsole.tui.signs import BOLD, DIM, YELLOW

_TOLD = 4


@dataclass(frozen=True)
class Meant:
    """What a change is about, and which other slices a person could have meant."""

    about: str
    """`1 value changes for one language of relevance`."""
    word: str
    """What slices are called: `language`."""
    others: tuple[str, ...]
    """The other slices of the model; empty: the change is not about one slice."""
    by_slice: bool
    changes: tuple[tuple[str, str], ...]
    """Where, and what becomes of what."""
    move: str
    """The key that moves a value."""

    @classmethod
    def of(cls, one: DocumentView, draft: DraftView, confirm: str, move: str) -> Meant:
        """From a document with its draft, and the word that has to be typed."""
        changed = [entry for entry in one.entries if entry.changed]
        by_slice = bool(confirm and changed) and all(entry.slice == confirm for entry in changed)
        models = {entry.model for entry in changed}
        others = tuple(dict.fromkeys(entry.slice for entry in one.entries if entry.model in models and entry.slice != confirm))
        changes = tuple((each.where or "the whole document", difference_told(each)) for each in draft.differences)
        return cls(draft.about, one.slice_word, others if by_slice else (), by_slice, changes, move)


class Asks(ConfirmBox):
    """What the boxes share: the question, and the answer to another slice."""

    meant: Meant
    wrong = ""
    """The last answer to something else than what was meant; empty: there was none."""

    typed_slice = ""
    """The other slice that was typed."""

    @property
    def wanted(self) -> str:
        """The slice is not named: who types it has to know it."""
        return f"the {self.meant.word}" if self.meant.by_slice else super().wanted

    def question(self) -> str:
        """`1 value changes for one language of relevance. Which language do you mean?`"""
        if not self.meant.by_slice:
            return super().question()
        return f"{self.meant.about.rstrip('. ')}. Which {self.meant.word} do you mean?"

    def mismatch(self, typed: str) -> str:
        """`You typed de, this change is for pl. Nothing was published. m moves the value to de.`"""
        if not self.meant.by_slice:
            return super().mismatch(typed)
        self.wrong = f"You typed {typed}, this change is for {self.confirm}. Nothing was published."
        if typed in self.meant.others:
            self.typed_slice = typed
            self.wrong += f" {self.meant.move} moves the value to {typed}."
        self.call_after_refresh(self._lay_out)  # the whole sentence has its place in the box
        return "Nothing was published."

    def told(self, width: int) -> list[Line]:
        """What changes, then the plan; the number of slices stands out in the question."""
        lines: list[Line] = []
        for place, (where, what) in enumerate(self.meant.changes[:_TOLD]):
            for number, piece in enumerate(folded(f"{where}  {what}", max(10, width - 9))):
                label = "changes" if place == number == 0 else ""
                lines.append(line((f"{label:<8} ", DIM), ("".join(text for text, _ in piece), BOLD)))
        if len(self.meant.changes) > _TOLD:
            lines.append(line(" " * 9, (f"and {len(self.meant.changes) - _TOLD} more", DIM)))
        rest: list[Line] = super().told(width)
        if self.confirm is not None and self.meant.by_slice:
            rest = _without_question(rest) + folded_question(self.question(), width, f"one {self.meant.word}")
            rest += folded(self.wrong, width, style=YELLOW) if self.wrong else []
        return lines + rest


def folded_question(text: str, width: int, bold: str) -> list[Line]:
    """The question in lines, with the words that decide in bold."""
    lines: list[Line] = []
    for piece in folded(text, width):
        spans: list[Span] = []
        for part in re.split(f"({re.escape(bold)})", "".join(words for words, _ in piece)):
            spans += [(part, BOLD if part == bold else "")] if part else []
        lines.append(line(*spans))
    return lines


def _without_question(lines: list[Line]) -> list[Line]:
    """A plan's lines up to the blank one before its question."""
    blank = max((place for place, spans in enumerate(lines) if not "".join(text for text, _ in spans).strip()), default=len(lines) - 1)
    return lines[: blank + 1]


class PublishBox(Asks, PlanBox):
    """Publishes for all clients at once."""

    def __init__(self, *args: Any, meant: Meant, **kwargs: Any) -> None:
        self.meant = meant
        super().__init__(*args, **kwargs)


class GrowBox(Asks, RolloutBox):
    """Publishes by the stages of a policy."""

    def __init__(self, *args: Any, meant: Meant, **kwargs: Any) -> None:
        self.meant = meant
        super().__init__(*args, **kwargs)
