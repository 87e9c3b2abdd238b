"""Differences of two texts line by line, for people: fast where little changed, bounded where everything did.

`difflib` alone takes minutes for a document of 1 MB whose lines repeat, as those of configuration do. What is the same at both ends is left
out first; lines that stand in both texts once then part the rest (as in *patience diff*), and difflib gets only what lies between.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_BUDGET = 1_000_000
"""Pairs of equal lines that difflib may look at in all; beyond, lines are compared with the one in the same place."""

_DEEPEST = 32

# Not `splitlines`, for which a form feed ends a line too: no editor counts so.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_ENDINGS = {"": "no line break after it", "\n": "ends with LF", "\r\n": "ends with CR LF", "\r": "ends with CR"}


@dataclass(frozen=True)
class TextLine:
    """One line: `sign` is ` `, `-`, `+`, or `…` where equal lines are left out. `old` and `new` are its numbers, from 1."""

    sign: str
    text: str
    old: int | None = None
    new: int | None = None


@dataclass(frozen=True)
class _Block:
    """Lines that are equal: `size` of them from `old` and `new` on."""

    old: int
    new: int
    size: int


def text_diff(old: str, new: str, context: int = 2) -> tuple[TextLine, ...]:
    """The lines that differ, with `context` equal ones around; none when the texts are equal."""
    if old == new:
        return ()
    before, after = _LINE.findall(old), _LINE.findall(new)
    usual = next((ending for ending in map(_ending, (*before[:1], *after[:1])) if ending), "")
    lines: list[TextLine] = []
    at_old = at_new = 0
    for block in _blocks(before, after):
        changed = block.old > at_old or block.new > at_new
        lines += (TextLine("-", _shown(before[i], usual), i + 1, None) for i in range(at_old, block.old))
        lines += (TextLine("+", _shown(after[j], usual), None, j + 1) for j in range(at_new, block.new))
        at_old, at_new = block.old + block.size, block.new + block.size
        last = at_old == len(before) and at_new == len(after)
        # Nothing stands before the first difference, and nothing has to stand after the last one.
        head = min(block.size, context) if lines or changed else 0
        tail = 0 if last else min(block.size - head, context)
        lines += (_equal(before, block, k) for k in range(head))
        if lines and not last and head + tail < block.size:
            lines.append(TextLine("…", ""))
        lines += (_equal(before, block, k) for k in range(block.size - tail, block.size))
    return tuple(lines)


def _equal(before: Sequence[str], block: _Block, k: int) -> TextLine:
    return TextLine(" ", before[block.old + k].rstrip("\r\n"), block.old + k + 1, block.new + k + 1)


def _shown(line: str, usual: str) -> str:
    """A line that differs; where only its end does, that has to be seen."""
    ending = _ending(line)
    text = line.removesuffix(ending)
    return text if ending == usual else f"{text} ({_ENDINGS[ending]})"


def _ending(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _blocks(before: Sequence[str], after: Sequence[str]) -> list[_Block]:
    """All equal lines in order, those that follow each other as one; at the end one of no lines."""
    budget = [_BUDGET]
    joined: list[_Block] = []
    for block in _matched(before, after, _Block(0, 0, 0), len(before), len(after), budget, 0):
        last = joined[-1] if joined else None
        if last and last.old + last.size == block.old and last.new + last.size == block.new:
            joined[-1] = _Block(last.old, last.new, last.size + block.size)
        else:
            joined.append(block)
    if not joined or joined[-1].old + joined[-1].size < len(before) or joined[-1].new + joined[-1].size < len(after):
        joined.append(_Block(len(before), len(after), 0))
    return joined


def _matched(
    before: Sequence[str], after: Sequence[str], start: _Block, old_end: int, new_end: int, budget: list[int], depth: int
) -> Iterator[_Block]:
    """The equal lines from `start` up to the two ends."""
    old, new = start.old, start.new
    while old < old_end and new < new_end and before[old] == after[new]:
        old, new = old + 1, new + 1
    if old > start.old:
        yield _Block(start.old, start.new, old - start.old)
    size = 0
    while old < old_end - size and new < new_end - size and before[old_end - 1 - size] == after[new_end - 1 - size]:
        size += 1
    old_end, new_end = old_end - size, new_end - size
    if old < old_end and new < new_end:
        yield from _between(before, after, _Block(old, new, 0), old_end, new_end, budget, depth)
    if size:
        yield _Block(old_end, new_end, size)


def _between(
    before: Sequence[str], after: Sequence[str], start: _Block, old_end: int, new_end: int, budget: list[int], depth: int
) -> Iterator[_Block]:
    """The equal lines of a stretch whose first and last lines differ."""
    left, right = Counter(before[start.old : old_end]), Counter(after[start.new : new_end])
    anchors = _anchors(before, after, start, old_end, new_end, left, right) if depth < _DEEPEST else []
    if anchors:
        at = start
        for old, new in [*anchors, (old_end, new_end)]:
            yield from _matched(before, after, at, old, new, budget, depth + 1)
            if old < old_end:
                yield _Block(old, new, 1)
            at = _Block(old + 1, new + 1, 0)
        return
    # What difflib looks at once; it may do so again for each part that it finds.
    cost = sum(count * right[line] for line, count in left.items()) * min(old_end - start.old, new_end - start.new, 20)
    if cost <= budget[0]:
        budget[0] -= cost
        matcher = SequenceMatcher(None, before[start.old : old_end], after[start.new : new_end], autojunk=False)
        for i, j, size in matcher.get_matching_blocks():
            if size:
                yield _Block(start.old + i, start.new + j, size)
        return
    for old, new in zip(range(start.old, old_end), range(start.new, new_end), strict=False):
        if before[old] == after[new]:
            yield _Block(old, new, 1)


def _anchors(
    before: Sequence[str], after: Sequence[str], start: _Block, old_end: int, new_end: int, left: Counter[str], right: Counter[str]
) -> list[tuple[int, int]]:
    """The longest rising row of lines that stand once in both stretches, as (number in old, number in new)."""
    places = {after[new]: new for new in range(start.new, new_end) if right[after[new]] == 1}
    pairs = [(old, places[before[old]]) for old in range(start.old, old_end) if left[before[old]] == 1 and before[old] in places]
    # Patience sorting: of all rows of one length, the one that ends lowest; each pair remembers the one before it in its row.
    ends: list[int] = []
    tops: list[int] = []
    previous: list[int] = []
    for index, (_, new) in enumerate(pairs):
        length = bisect_left(ends, new)
        previous.append(tops[length - 1] if length else -1)
        ends[length : length + 1] = [new]
        tops[length : length + 1] = [index]
    row: list[tuple[int, int]] = []
    at = tops[-1] if tops else -1
    while at >= 0:
        row.append(pairs[at])
        at = previous[at]
    return row[::-1]
