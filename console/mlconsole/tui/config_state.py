"""What Config is about: the document that is shown, its draft, the rollout that publishes it, and what was asked about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlconsole.core.documents import config_target
from mlconsole.core.errors import MLConsoleError
from mlconsole.engine.documentviews import DifferenceView, DocumentView, EntryView, TextLineView, WhatIfView
from mlconsole.engine.views import OperationView, RolloutView, Snapshot
from mlconsole.tui.config_evidence import before_of
from mlconsole.tui.matrix import Matrix
from mlconsole.tui.rollout_words import rollout_of, stage_name, version_of
from mlconsole.tui.view import View

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


class ConfigState(View):
    """A view of one config document."""

    def __init__(self, ui: Any) -> None:
        super().__init__(ui)
        self._name = ""
        """The document that is shown."""
        self._inside = False
        """Whether its entries are shown while it is being published: `enter` goes in, `esc` out."""
        self._wanted = ""
        """The entry, or the model, that the cursor has to go to as soon as it is there."""
        self._seen: str | None = None
        """The document, and its draft, whose first change the cursor went to."""
        self._just: dict[str, tuple[datetime, DocumentView]] = {}
        """What the engine answered a moment ago: no look that was begun before may take it away again."""
        self._answers: dict[tuple[Any, ...], Any] = {}
        """What was asked about a state of a document, and what came: None while it is worked out, an error where it can't be."""
        self._changes: tuple[tuple[Any, ...], tuple[DifferenceView, ...], tuple[TextLineView, ...]] | None = None
        """Two versions of the document, and what the later one changes."""
        self.meant: dict[str, str] = {}
        """Document → the slice that a person typed who wanted to publish, and that is another one than the change is for."""

    # What it is about.

    def document(self) -> DocumentView | None:
        """The document that is shown."""
        documents = self.snapshot.documents if self.snapshot is not None else ()
        one = next((each for each in documents if each.name == self._name), documents[0] if documents else None)
        if one is None or self.snapshot is None:
            return None
        at, just = self._just.get(one.name, (None, one))
        return just if at is not None and self.snapshot.status.at <= at else one

    @property
    def target(self) -> str:
        """What a release of it is of: `config:models`."""
        one = self.document()
        return config_target(one.name) if one is not None else ""

    def publication(self) -> RolloutView | None:
        """The rollout that publishes it."""
        return rollout_of(self.snapshot, self.target) if self.target else None

    def change(self) -> OperationView | None:
        """An ordinary change of it that is under way."""
        running = self.snapshot.status.running if self.snapshot is not None else ()
        return next((each for each in running if each.endpoint == self.target), None)

    @property
    def at_publication(self) -> bool:
        """Whether the screen is about what is being published, not about the entries."""
        return self.publication() is not None and not self._inside

    def entry(self) -> EntryView | None:
        """The entry under the cursor."""
        one, row = self.document(), self.matrix.cursor
        return next((each for each in one.entries if each.pointer == row.key), None) if one is not None and row is not None else None

    @property
    def matrix(self) -> Matrix:
        """The entries."""
        return self.query_one("#main", Matrix)

    @property
    def keys_by_action(self) -> dict[str, str]:
        """The key that each action has for this person."""
        return {name: action.key for name, action in self.ui.actions_by_id.items()}

    # What is asked of the engine about it.

    def what_if(self, one: DocumentView) -> WhatIfView | MLConsoleError | None:
        """The stored predictions decided again under the draft; None while that is worked out."""
        draft = one.draft
        if draft is None or not draft.differences:
            return None
        key = (one.environment, one.name, draft.base, draft.edition)

        def call(session: Session) -> WhatIfView:
            from mlconsole.engine import configuring

            return configuring.what_if(session, one.name)

        answer: WhatIfView | MLConsoleError | None = self._asked("what if", key, call)
        return answer

    def changes(self, one: DocumentView, rollout: RolloutView) -> tuple[tuple[DifferenceView, ...], tuple[TextLineView, ...]]:
        """What the version that is being published changes; nothing while that is not known."""
        numbers = (before_of(one, rollout), version_of(rollout))
        if not all(number.isdigit() for number in numbers):
            return (), ()
        before, after = map(int, numbers)

        def call(session: Session) -> Any:
            from mlconsole.engine import configuring

            return configuring.compare(session, one.name, before, after)

        key = (one.environment, one.name, before, after)
        if self._changes is None or self._changes[0] != key:
            # Until the store has the version it can't be told; it is asked again as the rollout goes on.
            answer = self._asked("changes", (*key, rollout.stage, rollout.state), call)
            if answer is None or isinstance(answer, MLConsoleError):
                drafted = one.draft if one.draft is not None and one.draft.base == before else None
                return (drafted.differences, drafted.text) if drafted is not None else ((), ())
            self._changes = (key, tuple(answer[0]), tuple(answer[1]))
        return self._changes[1:]

    def _asked(self, what: str, key: tuple[Any, ...], call: Callable[[Session], Any]) -> Any:
        """The answer about a state; asked for once."""
        whole = (what, *key)
        if whole not in self._answers:
            self._answers = {old: answer for old, answer in self._answers.items() if old[0] != what or answer is None}
            self._answers[whole] = None

            def careful(session: Session) -> Any:
                try:
                    return call(session)
                except MLConsoleError as error:
                    return error
                except Exception as error:  # noqa: BLE001 - the edge: what can't be told costs its own box, and is not asked for ever
                    return MLConsoleError(f"{type(error).__name__}: {error}")

            self.ui.ask_quietly(careful, lambda answer: self._answered(whole, answer))
        return self._answers[whole]

    def _answered(self, key: tuple[Any, ...], answer: Any) -> None:
        if self.is_attached:
            self._answers[key] = answer
            self.ui.render_all()

    def took(self, one: DocumentView) -> None:
        """The engine's answer to what was done with the draft: shown at once."""
        snapshot = self.ui.snapshot
        if snapshot is None or not self.is_attached:
            return
        self._just[one.name] = (self.ui.now(), one)
        documents = tuple(one if each.name == one.name else each for each in snapshot.documents)
        self.ui.snapshot = replace(snapshot, documents=documents)
        self.ui.render_all()
        self.ui.look()

    def shown(self, snapshot: Snapshot) -> str:
        """`models · draft on 126`."""
        one, rollout = self.document(), self.publication()
        if one is None:
            return ""
        names = [each.name for each in snapshot.documents]
        place = f" {names.index(one.name) + 1} of {len(names)}" if len(names) > 1 else ""
        if rollout is not None:
            return f"{one.name}{place} · {version_of(rollout)}" + (f" at {stage_name(rollout)}" if self.ui.is_wide else "")
        if one.draft is not None:
            on = f" on {one.draft.base}" if one.draft.base is not None else ""
            return f"{one.name}{place} · draft{on}" if self.ui.is_wide else f"{one.name}{place} draft"
        return f"{one.name}{place}" + (f" · {one.version}" if one.version is not None else "")
