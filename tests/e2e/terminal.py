"""A program in a terminal, seen from outside: keys go in, a screen comes out, and every byte is kept with its time.

Used by the tests of the whole program, by the bench and by nobody else. It knows nothing of mlconsole.
"""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pexpect
import pyte

KEYS: Mapping[str, str] = {
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "enter": "\r",
    "esc": "\x1b",
    "tab": "\t",
    "home": "\x1b[H",
    "backspace": "\x7f",
}
_ESCAPE = 0.25
"""So long after an escape another key would be read together with it: as alt and that key."""
_BEYOND = 12
"""Columns and lines that the emulator has more than the program was told of: what is drawn there is too wide."""

# What a program may ask a terminal, and what an xterm answers. Some programs wait for these answers.
_ANSWERS = (
    (re.compile(rb"\x1b\[\?2026\$p"), b"\x1b[?2026;2$y"),
    (re.compile(rb"\x1b\[\?2048\$p"), b"\x1b[?2048;0$y"),
    (re.compile(rb"\x1b\[0?c"), b"\x1b[?62;22c"),
    (re.compile(rb"\x1b\[6n"), b"\x1b[1;1R"),
)


class Canvas(pyte.Screen):
    """A screen with room beyond its edges, which notes whatever is drawn there."""

    def __init__(self, columns: int, lines: int) -> None:
        self.told = (columns, lines)
        self.outside: list[str] = []
        super().__init__(columns + _BEYOND, lines + _BEYOND)

    def tell(self, columns: int, lines: int) -> None:
        """Another size."""
        self.told = (columns, lines)
        self.resize(lines + _BEYOND, columns + _BEYOND)
        self.reset()

    def draw(self, data: str) -> None:
        """Text at the cursor."""
        super().draw(data)
        if data.strip() and (self.cursor.x > self.told[0] or self.cursor.y >= self.told[1]):
            self.outside.append(f"{data!r} ends at column {self.cursor.x}, line {self.cursor.y} of {self.told[0]}×{self.told[1]}")

    # pyte 0.8.2 does not take the `private` flag that these may arrive with.

    def select_graphic_rendition(self, *attrs: int, **_: Any) -> None:
        """Colours."""
        super().select_graphic_rendition(*attrs)

    def report_device_status(self, *_: Any, **__: Any) -> None:
        """Answered by the terminal itself."""

    def report_device_attributes(self, *_: Any, **__: Any) -> None:
        """Answered by the terminal itself."""


class Terminal:
    """A program on a pty of its own. Nothing is read while nobody waits: call `until`, `pump` or `settle`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 100,
        lines: int = 30,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        answers: bool = True,
    ) -> None:
        self.patience = 0.2
        """So long nothing comes when all is said; more over a slow line."""
        self.canvas = Canvas(columns, lines)
        self._stream = pyte.ByteStream(self.canvas)
        self._answers, self._asked = answers, b""
        self.chunks: list[tuple[float, bytes]] = []
        self._fed = 0
        self.ended = False
        self.began = time.perf_counter()
        self.child = pexpect.spawn(
            command[0],
            list(command[1:]),
            env=dict(os.environ if environ is None else environ),  # type: ignore[arg-type]
            cwd=str(cwd) if cwd else None,
            dimensions=(lines, columns),
            echo=False,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # What goes in.

    def send(self, text: str | bytes) -> float:
        """Bytes, as they are; when that was."""
        data = text.encode() if isinstance(text, str) else text
        now = time.perf_counter()
        while data:
            data = data[os.write(self.child.child_fd, data) :]
        return now

    def press(self, *keys: str) -> None:
        """Keys by name, or characters; what came meanwhile is read between them, as a person would see it."""
        for key in keys:
            self.send(KEYS.get(key, key))
            self.pump(0.02)
            if key == "esc":
                self.settle(_ESCAPE, _ESCAPE)

    def resize(self, columns: int, lines: int) -> None:
        """Another size of the window. What was still on its way for the old one is not held against the new."""
        self.settle(0.2)
        self._feed()
        self.child.setwinsize(lines, columns)
        self.canvas.tell(columns, lines)
        self.settle(0.4)
        self._feed()
        self.canvas.outside.clear()

    # What comes out.

    def pump(self, seconds: float) -> bytes:
        """Read once, waiting at most so long."""
        if self.ended:
            return b""
        ready, _, _ = select.select([self.child.child_fd], [], [], max(0.0, seconds))
        if not ready:
            return b""
        try:
            data = os.read(self.child.child_fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self.ended = True
            return b""
        self.chunks.append((time.perf_counter(), data))
        if self._answers:
            self._answer(data)
        return data

    def _answer(self, data: bytes) -> None:
        text, end = self._asked + data, 0
        for pattern, reply in _ANSWERS:
            for match in pattern.finditer(text):
                if match.end() > len(self._asked):
                    with suppress(OSError):
                        os.write(self.child.child_fd, reply)
                end = max(end, match.end())
        self._asked = text[max(end, len(text) - 24) :]

    def settle(self, quiet: float = 0.3, seconds: float = 5.0) -> None:
        """Read until nothing came for `quiet` seconds, or `seconds` are over."""
        deadline = time.perf_counter() + seconds
        while not self.ended and time.perf_counter() < deadline and self.pump(quiet):
            pass

    def _feed(self) -> None:
        if self._fed < len(self.chunks):
            self._stream.feed(b"".join(data for _, data in self.chunks[self._fed :]))
            self._fed = len(self.chunks)

    @property
    def lines(self) -> list[str]:
        """What a person sees."""
        self._feed()
        columns, lines = self.canvas.told
        return [line[:columns] for line in self.canvas.display[:lines]]

    @property
    def text(self) -> str:
        """The same in one piece."""
        return "\n".join(line.rstrip() for line in self.lines)

    @property
    def raw(self) -> bytes:
        """Every byte that was written."""
        return b"".join(data for _, data in self.chunks)

    def line(self, word: str) -> str:
        """The first line that has the word in it."""
        return next((line for line in self.lines if word in line), "")

    def has(self, *words: str) -> bool:
        """Whether all of them are on the screen."""
        text = self.text
        return all(word in text for word in words)

    def until(self, *words: str, seconds: float = 30.0, without: str = "") -> None:
        """Wait until all words are on the screen (and `without` is not).

        Raises:
            AssertionError: they never were, with the screen as it is.
        """
        deadline = time.perf_counter() + seconds
        while not self.has(*words) or (without and self.has(without)):
            if time.perf_counter() > deadline or (self.ended and not self.pump(0.0)):
                raise AssertionError(f"not seen within {seconds:g} s: {words}{f' without {without!r}' if without else ''}\n{self.text}")
            self.pump(0.1)

    def until_matches(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """Wait until a pattern is found on the screen.

        Raises:
            AssertionError: it never was, with the screen as it is.
        """
        deadline = time.perf_counter() + seconds
        while (found := re.search(pattern, self.text)) is None:
            if time.perf_counter() > deadline or self.ended:
                raise AssertionError(f"not seen within {seconds:g} s: {pattern}\n{self.text}")
            self.pump(0.1)
        return found

    def checked(self) -> None:
        """Nothing was drawn beyond the edges since the size was told.

        Raises:
            AssertionError: something was.
        """
        self._feed()
        assert not self.canvas.outside, "\n".join(self.canvas.outside[:5])

    # Its end.

    def left(self, seconds: float = 10.0) -> tuple[int | None, str]:
        """Wait for the program's end; its exit code, and what it said after it left the alternate screen."""
        deadline = time.perf_counter() + seconds
        while not self.ended and time.perf_counter() < deadline:
            self.pump(0.2)
        assert self.ended, f"it did not end within {seconds:g} s\n{self.text}"
        self.child.close()
        said = self.raw.rpartition(b"\x1b[?1049l")[2].decode("utf-8", "replace")
        return self.child.exitstatus, re.sub(r"\x1b(\[[0-9;?<>=$]*[A-Za-z]|.)", "", said).replace("\r", "")

    def cut(self) -> None:
        """End the program the hard way: the line is dead from one moment to the next."""
        self.child.kill(signal.SIGKILL)
        self.left()

    def close(self) -> None:
        """Whatever still runs here is ended."""
        with suppress(Exception):
            self.child.close(force=True)
