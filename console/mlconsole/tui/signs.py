"""Signs and colours. Each colour is also a word or a sign, so that a terminal without colours loses nothing."""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping
from dataclasses import dataclass

from mlconsole.engine.views import State

RED, YELLOW, GREEN, CYAN, MAGENTA = "red", "yellow", "green", "cyan", "magenta"
DIM, BOLD = "dim", "bold"
PRODUCTION = "bold white on red"
CURSOR = "reverse"

STATE_STYLES: Mapping[State, str] = {
    State.FAILING: "bold red",
    State.LOOK: YELLOW,
    State.CHANGING: CYAN,
    State.NO_DATA: DIM,
    State.OK: GREEN,
}


@dataclass(frozen=True)
class Signs:
    """The characters that are drawn: box lines, bars and signs, in Unicode or in ASCII."""

    ok: str
    failing: str
    look: str
    changing: str
    no_data: str
    cursor: str
    arrow: str
    back: str
    dot: str
    more: str
    """Ends what is cut."""
    full: str
    half: str
    empty: str
    across: str
    down: str
    rule: str
    corners: Mapping[str, str]
    """`tl tr bl br` corners, `l r t b` junctions with a line to the left, right, top, bottom edge, `x` crossing."""

    def of(self, state: State) -> str:
        """A state's sign."""
        return {
            State.FAILING: self.failing,
            State.LOOK: self.look,
            State.CHANGING: self.changing,
            State.NO_DATA: self.no_data,
            State.OK: self.ok,
        }[state]

    def plain(self, text: str) -> str:
        """A text in this set's characters: our own signs in it become ASCII where Unicode is not to be had."""
        return text if self is UNICODE else text.translate(_TO_ASCII)


UNICODE = Signs(
    ok="✔",
    failing="✖",
    look="▲",
    changing="~",
    no_data="?",
    cursor="▸",
    arrow="→",
    back="←",
    dot="·",
    more="…",
    full="█",
    half="▌",
    empty="░",
    across="─",
    down="│",
    rule="│",
    corners={"tl": "┌", "tr": "┐", "bl": "└", "br": "┘", "l": "├", "r": "┤", "t": "┬", "b": "┴", "x": "┼"},
)
ASCII = Signs(
    ok="ok",
    failing="X",
    look="!",
    changing="~",
    no_data="?",
    cursor=">",
    arrow="->",
    back="<-",
    dot=".",
    more="..",
    full="#",
    half="=",
    empty=".",
    across="-",
    down="|",
    rule="|",
    corners=dict.fromkeys(("tl", "tr", "bl", "br", "l", "r", "t", "b", "x"), "+"),
)
_TO_ASCII = str.maketrans(
    {
        "✔": "ok",
        "✖": "X",
        "▲": "!",
        "▸": ">",
        "→": "->",
        "←": "<-",
        "·": ".",
        "–": "-",
        "…": "...",
        "≠": "!=",
        "›": ">",
        "─": "-",
        "●": "*",
        "│": "|",
        "−": "-",
        "↑": "^",
        "↓": "v",
        "“": '"',
        "”": '"',
        "×": "x",
        "≥": ">=",
        "≤": "<=",
        **dict(zip("▁▂▃▄▅▆▇█", "_,-=+*%#", strict=True)),
    }
)


def signs_for(environ: Mapping[str, str]) -> Signs:
    """Unicode where the terminal's encoding can carry it; ASCII otherwise, on an old terminal, or on request (`MLCONSOLE_ASCII=1`)."""
    if environ.get("MLCONSOLE_ASCII") or environ.get("TERM") in ("vt100", "vt102", "vt220", "linux"):
        return ASCII
    encoding = (locale.getpreferredencoding(False) or "ascii").lower().replace("-", "")
    return UNICODE if encoding == "utf8" else ASCII


def current() -> Signs:
    """The signs for this process's terminal."""
    return signs_for(os.environ)
