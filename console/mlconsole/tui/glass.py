"""Breaking the glass by key: a reason is asked for what was refused, or would be stopped by a gate; then the engine plans again with it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mlconsole.tui.dialogs import Ask
from mlconsole.tui.pane import Line, line
from mlconsole.tui.signs import BOLD, DIM

if TYPE_CHECKING:
    from mlconsole.tui.shell import Shell

_WIDTH, _EDGES = 80, 4


def ask_reason(app: Shell, title: str, why: Sequence[str], then: Callable[[str], None]) -> None:
    """Ask for the reason to do it all the same; `why` says what speaks against it. `then` plans it again, and does nothing yet."""
    width = min(_WIDTH, int(app.size.width * 0.96)) - _EDGES
    said: list[Line] = [line(piece) for text in why for piece in textwrap.wrap(text, width)]
    question = "Why all the same? It stays on the release, for everybody to read."
    said += [line((piece, BOLD)) for piece in textwrap.wrap(question, width)]
    said += [line((piece, DIM)) for piece in textwrap.wrap("enter plans it so, and does nothing yet · esc leaves it", width)]

    def typed(reason: str | None) -> None:
        if reason is None:
            app.say("Nothing has happened.")
        else:
            then(reason)

    app.push_screen(Ask(title, said, check=lambda text: "" if text else "Break-glass needs a reason."), typed)
