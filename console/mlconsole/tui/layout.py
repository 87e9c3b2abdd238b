"""How the lines of a screen are shared out among its boxes: what matters most gets its least first, then all grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A box on the screen, with its upper edge: it is absent where it would get less than `least` lines, and wants at most `most`.

    `rank`: those with the smallest get their room first.
    """

    name: str
    least: int
    most: int
    rank: int
    eager: bool = False
    """It takes all that it wants before those of a lower rank get anything."""


def shared_out(room: int, boxes: Sequence[Box], grows: str = "") -> dict[str, int]:
    """Lines for each box that fits, in the order given; the box that `grows`, else the first one, takes what is left over."""
    given: dict[str, int] = {}
    left = room
    for box in sorted(boxes, key=lambda box: box.rank):
        least = min(box.least, box.most)
        if box.most > 0 and least <= left:
            given[box.name] = min(left, box.most) if box.eager else least
            left -= given[box.name]
    for box in sorted(boxes, key=lambda box: box.rank):
        if box.name in given:
            more = min(left, box.most - given[box.name])
            given[box.name] += more
            left -= more
    ordered = {box.name: given[box.name] for box in boxes if box.name in given}
    if ordered and left > 0:
        last = grows if grows in ordered else next(iter(ordered))
        ordered[last] += left
    return ordered
