"""The filter: words that rows have to have, on every screen alike; `@de` only that language; `f` only what is not well."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from mlconsole.tui.looking import Looking
from mlconsole.tui.start import Start
from mlconsole.tui.view import View


class Filtering(Looking):
    """Narrows what all views show."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self._words = ""
        """The filter without its language."""

    def act_filter(self) -> None:
        """Begin to filter."""
        self.screen.add_class("-filtering")
        self.query_one("#filter", Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if event.input.id == "filter":
            self._filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        if event.input.id == "filter":
            self._leave_filter()

    def _filter(self, text: str) -> None:
        words = text.split()
        self.language = next((word[1:] for word in words if word.startswith("@") and len(word) > 1), "")
        self._words = " ".join(word for word in words if not word.startswith("@"))
        for view in self._views.values():
            self.narrow(view)
        self.render_all()

    def narrow(self, view: View) -> None:
        """The filter holds on every screen, so that none stays narrowed when it is cleared on another."""
        for table in view.tables():
            if table.id and table.id.startswith("main"):
                table.filter(self._words)

    def clear_filter(self) -> None:
        """No filter any more."""
        self.faults_only = False
        self.query_one("#filter", Input).value = ""
        self._filter("")
        self._leave_filter()

    def _leave_filter(self) -> None:
        self.screen.remove_class("-filtering")
        focus = self.view.first_focus()
        if focus is not None:
            focus.focus()

    def on_descendant_blur(self) -> None:
        """A filter that lost the keys is done."""
        if not isinstance(self.focused, Input):
            self.screen_stack[0].remove_class("-filtering")

    async def on_event(self, event: events.Event) -> None:
        """`esc` in the filter clears it; Input keeps that key to itself otherwise."""
        if isinstance(event, events.Key) and event.key == "escape" and isinstance(self.focused, Input) and self.focused.id == "filter":
            self.clear_filter()
            return
        await super().on_event(event)
