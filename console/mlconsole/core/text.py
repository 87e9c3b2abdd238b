"""Text that people read: foreign text made harmless, names compared, durations and ages told."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def neutralise(text: str, *, keep_newlines: bool = False) -> str:
    r"""Make foreign text safe to print: each control, bidirectional or line-separating character becomes its escape (`\x1b`).

    With `keep_newlines`, line feeds and tabs stay, for text that is shown as a block.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_harmless(char, keep_newlines) for char in text)


def _harmless(char: str, keep_newlines: bool) -> str:
    if keep_newlines and char in "\n\t":
        return char
    if char in _BIDI or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp"):
        point = ord(char)
        return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"
    return char


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The `count` known names that a person most likely meant by `name`, best first; empty when none is near."""
    names = sorted(set(known))
    folded = {candidate.casefold(): candidate for candidate in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=count, cutoff=0.5)
    begins = [candidate for candidate in names if candidate.casefold().startswith(name.casefold()) and name]
    found = dict.fromkeys([*(folded[match] for match in close), *begins])
    return list(found)[:count]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """One sentence for an error: the nearest names, or the first few known ones, or that there are none."""
    names = sorted(set(known))
    close = nearest(name, names)
    if close:
        return f"Did you mean {_or(close)}?"
    if not names:
        return "There is none yet."
    shown = ", ".join(names[:6])
    return f"Known: {shown}{', …' if len(names) > 6 else ''}."


def _or(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def duration(seconds: float) -> str:
    """A length of time as the screens write it: `4 ms`, `12 s`, `3 min`, `1 h 09`, `5 d`."""
    # Rounded first: 0.9996 s is `1 s`, not `1000 ms`.
    if round(seconds * 1000) < 1000:
        return f"{max(0, round(seconds * 1000))} ms"
    if round(seconds) < 120:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 1440:
        return f"{minutes // 60} h {minutes % 60:02d}"
    return f"{round(seconds / 86_400)} d"


_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


def is_name(text: str) -> bool:
    """Whether `text` can name a model, an endpoint or an environment: 1 to 64 of `[A-Za-z0-9._-]`, a letter or digit at both ends."""
    return _NAME.fullmatch(text) is not None
