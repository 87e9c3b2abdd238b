"""Config: what applications read, slice by slice; what a draft would do to it, before it is published; and what is being published."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.widget import Widget

from mlconsole.engine.documentviews import DocumentView
from mlconsole.engine.views import Snapshot
from mlconsole.tui import config_panes as panes
from mlconsole.tui.config_keys import ConfigKeys
from mlconsole.tui.config_phone import phone_lines
from mlconsole.tui.pane import Line


class ConfigView(ConfigKeys):
    """The entries beside what publishing the draft would do; the evidence below. While it is published: how that goes."""

    screen_name = "config"
    help_text = (
        "What applications read: endpoint, share, fields and threshold of each slice. A draft changes nothing before P publishes it."
    )

    DEFAULT_CSS = """
    ConfigView .-absent { display: none; }
    ConfigView > #top > #left > #main, ConfigView > #top > #left > #subject { height: 1fr; }
    """

    def compose(self) -> ComposeResult:
        """All boxes there may be; those that have nothing are absent."""
        yield from self._boxes()
        yield self.phone_pane()

    def _boxes(self) -> Iterator[Widget]:
        return panes.compose(self.signs)

    # What is shown.

    def render_snapshot(self, snapshot: Snapshot) -> None:
        """The document that was chosen, else the first."""
        one, rollout = self.document(), self.publication()
        if one is None:
            panes.render_nothing(self)
            return
        self._name = one.name
        if rollout is None:
            self._inside = False
        if rollout is not None and self.at_publication:
            panes.render_publication(self, snapshot, one, rollout)
        else:
            panes.render_document(self, snapshot, one)
        self._go_where_it_matters(one)

    def _go_where_it_matters(self, one: DocumentView) -> None:
        """The cursor to the first value that the draft changes, once; else to the entries of the endpoint that the screens are about."""
        first = next((entry for entry in one.entries if entry.changed), None)
        seen = f"{one.name} {one.draft.base} {one.draft.who}" if one.draft is not None and first is not None else one.name
        wanted, self._wanted = self._wanted, ""
        if first is not None and seen != self._seen:
            self.go_to_entry(first)
        elif wanted and first is None:
            here = self.entry()
            if here is None or here.model != wanted:
                model = next((entry for entry in one.entries if wanted in (entry.model, entry.endpoint)), None)
                if model is not None:
                    self.matrix.go_to(model.pointer)
        self._seen = seen

    def phone_lines(self, snapshot: Snapshot) -> list[Line]:
        """The same in one column."""
        return phone_lines(self, snapshot)
