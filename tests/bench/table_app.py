"""A screen that is one live table, as the console's screens are: forty rows whose figures change each second, or (`still`) do not."""

from __future__ import annotations

import random
import sys

from textual.app import App, ComposeResult

from mlconsole.tui.table import Column, LiveTable, Row

ROWS = 40
FIGURES = ("rate", "errors", "p50", "p95", "same")


class TableApp(App[None]):
    """See the module."""

    CSS = "Screen { background: ansi_default; color: ansi_default; }"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, still: bool) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self._still = still
        self._dice = random.Random(20)

    def compose(self) -> ComposeResult:
        """The table."""
        figures = [Column(key, key.upper(), right=True, least=8) for key in FIGURES]
        yield LiveTable([Column("name", "ENDPOINT", grows=True, keep=100), *figures], "table", id="main")

    def on_mount(self) -> None:
        """Fill it, and go on filling it."""
        table = self.query_one(LiveTable)
        table.focus()
        self._fill()
        if not self._still:
            self.set_interval(1.0, self._fill)

    def on_key(self, event: object) -> None:
        """Down and up."""
        key = getattr(event, "key", "")
        if key in ("down", "up"):
            self.query_one(LiveTable).move(1 if key == "down" else -1)

    def _fill(self) -> None:
        rows = []
        for at in range(ROWS):
            cells = {key: f"{self._dice.uniform(0, 900):.1f}" for key in FIGURES}
            rows.append(Row(str(at), {"name": f"endpoint-{at:02}", **cells}))
        self.query_one(LiveTable).fill(rows)


if __name__ == "__main__":
    TableApp("still" in sys.argv).run()
