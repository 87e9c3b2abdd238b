"""Differences of documents, and taking a change back without touching what others changed since."""

from __future__ import annotations

import copy
import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.drawn import documents, edits_of, unhurried, values, within
from mlconsole.core.configdiff import Difference, Kind, Restored, TextLine, differences, restored, same, text_diff, touched
from mlconsole.core.documents import touches
from mlconsole.core.pointers import MISSING, REMOVE, edited, get, parse, put

BASE = {
    "relevance": {"en": {"threshold": 0.58, "fields": ["title", "body"]}, "pl": {"threshold": 0.58, "fields": ["title", "body"]}},
    "rules": [{"id": 1, "on": True}, {"id": 2, "on": False}],
    "note": None,
}


def changed(**edits: Any) -> Any:
    """The base with other values; `__` stands for `/` in a keyword."""
    return edited(BASE, {f"/{name.replace('__', '/')}": new for name, new in edits.items()})


def applied(old: Any, found: tuple[Difference, ...]) -> Any:
    """The differences made on the old value, one after the other: what was removed from the back, so that numbers hold."""
    value = copy.deepcopy(old)
    removed = [one.pointer for one in found if one.kind is Kind.REMOVED]
    for pointer in reversed(removed):
        value = edited(value, {pointer: REMOVE})
    for one in found:
        if one.kind is Kind.REMOVED:
            continue
        *outer, last = parse(one.pointer) or ("",)
        inside = get(value, one.pointer.rpartition("/")[0])
        if one.kind is Kind.ADDED and isinstance(inside, list):
            inside.insert(int(last), copy.deepcopy(one.new))
        else:
            assert one.kind is Kind.ADDED or same(get(value, one.pointer), one.old), (one, outer)
            value = put(value, one.pointer, copy.deepcopy(one.new))
    return value


# Differences.


def test_one_of_each_kind() -> None:
    new = changed(
        relevance__pl__threshold=0.48, relevance__fr={"threshold": 0.6}, relevance__en=REMOVE, rules__0__on="yes", note=0, rules__1__id=2.0
    )
    found = differences(BASE, new)
    assert found == (
        Difference("/relevance/en", Kind.REMOVED, BASE["relevance"]["en"]),
        Difference("/relevance/pl/threshold", Kind.CHANGED, 0.58, 0.48, pytest.approx(-0.1724, abs=1e-4)),
        Difference("/relevance/fr", Kind.ADDED, None, {"threshold": 0.6}),
        Difference("/rules/0/on", Kind.TYPE_CHANGED, True, "yes"),
        Difference("/note", Kind.TYPE_CHANGED, None, 0),
    )
    assert [str(one.kind) for one in found] == ["removed", "changed", "added", "type changed", "type changed"]


@pytest.mark.parametrize(
    ("old", "new", "relative"),
    [(2, 3, 0.5), (-2, -3, -0.5), (-2, 2, 2.0), (0, 5, None), (0.5, 0.25, -0.5), (10**400, 1, -1.0), (1, 10**400, None), ("a", "b", None)],
)
def test_relative_changes(old: Any, new: Any, relative: float | None) -> None:
    (found,) = differences(old, new)
    assert found == Difference("", Kind.CHANGED, old, new, relative)


@pytest.mark.parametrize(
    ("old", "new", "equal"),
    [
        (1, 1.0, True), (True, 1, False), (False, 0, False), (False, None, False), ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([1, 2], [2, 1], False), ([1, 2], (1, 2), True), ({"a": [True]}, {"a": [1]}, False), ("", None, False), ({}, [], False),
        (9007199254740993, 9007199254740992.0, False), (MISSING, MISSING, True), (MISSING, None, False),
    ],
)  # fmt: skip
def test_what_is_the_same_in_json(old: Any, new: Any, equal: bool) -> None:
    assert same(old, new) is same(new, old) is equal


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ([1, 2, 3], [0, 1, 2, 3], ["added /0"]),
        ([1, 2, 3], [1, 2, 9, 3], ["added /2"]),
        ([1, 2, 3], [2, 3], ["removed /0"]),
        ([1, 2, 3], [1, 2, 3, 4, 5], ["added /3", "added /4"]),
        ([1, 2, 3], [1, 5, 3], ["changed /1"]),
        ([1, 2, 3], [9, 1, 2], ["changed /0", "changed /1", "changed /2"]),
        ([1, 2, 3, 4], [1, 8, 4], ["changed /1", "removed /2"]),
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 3}], ["changed /1/a"]),
        ([1, 1, 1], [1, 1], ["removed /2"]),
        ([], [[]], ["added /0"]),
    ],
)
def test_lists(old: Any, new: Any, found: list[str]) -> None:
    assert [f"{one.kind} {one.pointer}" for one in differences(old, new)] == found
    assert same(applied(old, differences(old, new)), new)


@unhurried
@given(documents | values, documents | values)
def test_the_differences_lead_from_one_to_the_other(old: Any, new: Any) -> None:
    found = differences(old, new)
    assert same(applied(old, found), new)
    assert (not found) is same(old, new)
    places = [one.pointer for one in found if one.kind is not Kind.REMOVED]
    assert len(places) == len(set(places))


@unhurried
@given(st.data())
def test_the_differences_of_edits_are_the_edits(data: st.DataObject) -> None:
    value = data.draw(documents)
    edits = data.draw(edits_of(value))
    new = edited(value, edits)
    found = differences(value, new)
    assert same(applied(value, found), new)
    for one in touched(value, new):
        assert any(within(one, pointer) or within(pointer, one) for pointer in [*edits, *(p.rpartition("/")[0] for p in edits)])


def test_what_was_touched() -> None:
    assert touched(BASE, BASE) == ()
    assert touched(BASE, changed(relevance__pl__threshold=0.4, relevance__en__fields=["body"])) == (
        "/relevance/en/fields",
        "/relevance/pl/threshold",
    )
    assert touched(BASE, changed(relevance__en__fields__0="tags", rules__1__on=True)) == ("/relevance/en/fields/0", "/rules/1/on")
    assert touched(BASE, changed(**{"rules__-": {"id": 3}})) == ("/rules",)
    assert touched([[1, 2], [3]], [[1, 9], [3, 4]]) == ("/0/1", "/1")
    assert touched(1, 2) == touched({}, []) == touched([1], []) == ("",)


# Taking back.


def test_only_what_the_change_touched_goes_back() -> None:
    after = changed(relevance__pl__threshold=0.48)
    live = edited(after, {"/relevance/en/threshold": 0.7, "/note": "later"})
    taken = restored(live, BASE, after, touched(BASE, after))
    assert taken == Restored({"/relevance/pl/threshold": 0.58})
    assert edited(live, taken.edits) == changed(relevance__en__threshold=0.7, note="later")


@pytest.mark.parametrize(
    ("change", "later", "edits", "overlaps"),
    [
        ({"/note": 1}, {"/note": 2}, {}, ("/note",)),
        ({"/note": 1}, {"/note": None}, {}, ()),
        ({"/relevance/fr": {"a": 1}}, {}, {"/relevance/fr": REMOVE}, ()),
        ({"/relevance/fr": {"a": 1}}, {"/relevance/fr/a": 2}, {}, ("/relevance/fr",)),
        ({"/relevance/fr": {"a": 1}}, {"/relevance/fr": REMOVE}, {}, ()),
        ({"/relevance/pl": REMOVE}, {"/note": 3}, {"/relevance/pl": BASE["relevance"]["pl"]}, ()),
        ({"/relevance/pl": REMOVE}, {"/relevance/pl": {}}, {}, ("/relevance/pl",)),
        ({"/relevance/pl/threshold": REMOVE}, {"/relevance/pl": REMOVE}, {}, ("/relevance/pl/threshold",)),
        ({"/relevance/pl/threshold": 1}, {"/relevance": REMOVE}, {}, ("/relevance/pl/threshold",)),
        ({"/rules/0/on": False}, {"/rules/1/on": True}, {"/rules/0/on": True}, ()),
        ({"/rules/0/on": False}, {"/rules/-": {}}, {}, ("/rules/0/on",)),
        ({"/rules/0": REMOVE}, {}, {"/rules": BASE["rules"]}, ()),
        ({"/rules/0": REMOVE}, {"/rules/0/on": True}, {}, ("/rules",)),
        ({"/relevance": 5}, {"/note": 1}, {"/relevance": BASE["relevance"]}, ()),
        ({"/relevance/en/threshold": 1, "/note": 1}, {"/note": 2}, {"/relevance/en/threshold": 0.58}, ("/note",)),
    ],
)
def test_taking_back_by_example(change: dict[str, Any], later: dict[str, Any], edits: dict[str, Any], overlaps: tuple[str, ...]) -> None:
    after = edited(BASE, change)
    live = edited(after, later)
    assert restored(live, BASE, after, touched(BASE, after)) == Restored(edits, overlaps)


def test_pointers_that_are_told_too_high_up() -> None:
    """A version that says of itself that it touched everything is taken back as what really changed."""
    after = changed(relevance__pl__threshold=0.48)
    live = edited(after, {"/note": "later"})
    for pointers in [("",), ("/relevance",), ("/relevance/pl", "/relevance/pl/threshold"), ("/relevance/en", "/relevance/pl/threshold")]:
        assert restored(live, BASE, after, pointers) == Restored({"/relevance/pl/threshold": 0.58})
    assert restored(live, BASE, after, ("/relevance/en",)) == Restored({})


@unhurried
@given(st.data())
def test_others_changes_stay_in_whatever_order_they_came(data: st.DataObject) -> None:
    """One change among others, before and after it, in any order: it goes back, theirs stay, and what overlaps is refused."""
    before = data.draw(documents)
    for _ in range(data.draw(st.integers(0, 2))):
        before = edited(before, data.draw(edits_of(before)))
    after = edited(before, data.draw(edits_of(before)))
    live = after
    for _ in range(data.draw(st.integers(0, 3))):
        live = edited(live, data.draw(edits_of(live)))
    mine, theirs = touched(before, after), touched(after, live)
    taken = restored(live, before, after, mine)
    assert set(taken.edits) | set(taken.overlaps) <= set(mine)
    then = edited(live, taken.edits)
    # Mine is as it was, or told as an overlap.
    for pointer in mine:
        assert pointer in taken.overlaps or same(get(then, pointer), get(before, pointer))
    # Nothing else is touched, by anybody's count.
    assert all(any(within(one, pointer) for pointer in taken.edits) for one in touched(live, then))
    for pointer in theirs:
        if not touches(list(taken.edits), pointer):
            assert same(get(then, pointer), get(live, pointer))
    # What nobody else touched is no overlap, and what somebody did touch is not overwritten.
    for pointer in mine:
        if not touches(theirs, pointer):
            assert pointer not in taken.overlaps
    for pointer in taken.edits:
        assert not touches(theirs, pointer)


@unhurried
@given(st.data())
def test_changes_of_different_values_go_back_in_every_order(data: st.DataObject) -> None:
    """Thirty people change values of their own in one document: whichever of them goes back, in whatever order, nobody else notices."""
    start = {f"m{i}": {f"s{j}": {"threshold": 0.5, "fields": ["a", "b"]} for j in range(3)} for i in range(4)}
    order = data.draw(st.permutations([f"/m{i}/s{j}/{what}" for i in range(4) for j in range(3) for what in ("threshold", "fields/1")]))
    changes = []
    live: Any = start
    for pointer in order:
        after = put(live, pointer, data.draw(st.integers(2, 9)))
        changes.append((live, after))
        live = after
    back = data.draw(st.permutations(changes))
    count = data.draw(st.integers(0, len(back)))
    for before, after in back[:count]:
        taken = restored(live, before, after, touched(before, after))
        assert taken.overlaps == ()
        live = edited(live, taken.edits)
    gone = [touched(before, after)[0] for before, after in back[:count]]
    for pointer in order:
        assert (get(live, pointer) == get(start, pointer)) is (pointer in gone)
    if count == len(back):
        assert live == start


@unhurried
@given(documents, st.data())
def test_a_change_that_nobody_followed_goes_back_whole(before: Any, data: st.DataObject) -> None:
    after = edited(before, data.draw(edits_of(before)))
    taken = restored(after, before, after, touched(before, after))
    assert taken.overlaps == ()
    assert same(edited(after, taken.edits), before)


# Texts.


def patched(old: str, lines: tuple[TextLine, ...]) -> list[str]:
    """The old lines with the diff made on them."""
    result = old.split("\n")
    for line in sorted((one for one in lines if one.sign == "-"), key=lambda one: -(one.old or 0)):
        assert line.old
        assert result.pop(line.old - 1) == line.text
    for line in lines:
        if line.sign == "+":
            assert line.new
            result.insert(line.new - 1, line.text)
    return result


def test_a_text_diff() -> None:
    old = json.dumps(BASE, indent=2)
    new = json.dumps(changed(relevance__pl__threshold=0.48), indent=2)
    assert [f"{one.sign}{one.old or ''}|{one.new or ''}|{one.text.strip()}" for one in text_diff(old, new, context=1)] == [
        ' 10|10|"pl": {',
        '-11||"threshold": 0.58,',
        '+|11|"threshold": 0.48,',
        ' 12|12|"fields": [',
    ]
    assert text_diff(old, old) == ()


def test_what_is_left_out_is_told_between_differences_only() -> None:
    old = [str(number) for number in range(30)]
    new = [*old[:10], "x", *old[11:20], *old[21:]]
    found = text_diff("\n".join(old), "\n".join(new))
    assert "".join(one.sign for one in found) == "  -+  …  -  "
    assert found[6] == TextLine("…", "")
    near = text_diff("\n".join(old), "\n".join([*old[:10], *old[11:15], *old[16:]]))
    assert "".join(one.sign for one in near) == "  -    -  "


def test_ends_of_lines() -> None:
    assert [(one.sign, one.text) for one in text_diff("a\nb\n", "a\r\nb")] == [
        ("-", "a"), ("-", "b"), ("+", "a (ends with CR LF)"), ("+", "b (no line break after it)"),
    ]  # fmt: skip
    assert text_diff("", "a\n") == (TextLine("+", "a", None, 1),)
    assert text_diff("a\n", "") == (TextLine("-", "a", 1, None),)
    assert [one.text for one in text_diff("a\x0cb\n", "a\x0cc\n")] == ["a\x0cb", "a\x0cc"]


@unhurried
@given(st.lists(st.sampled_from("abcdef{}"), max_size=40), st.lists(st.sampled_from("abcdef{}"), max_size=40), st.integers(0, 3))
def test_a_text_diff_leads_from_one_to_the_other(old: list[str], new: list[str], context: int) -> None:
    before, after = "\n".join([*old, "end"]), "\n".join([*new, "end"])
    found = text_diff(before, after, context)
    assert patched(before, found) == after.split("\n")
    assert (found == ()) is (before == after)
    for one in found:
        if one.sign == " ":
            assert one.old
            assert one.new
            assert before.split("\n")[one.old - 1] == after.split("\n")[one.new - 1] == one.text


@pytest.mark.parametrize("kind", ["few changes", "turned round", "all alike", "shuffled"])
def test_a_text_diff_of_1_mb_takes_no_minutes(kind: str) -> None:
    chance = random.Random(7)
    lines = [
        line for entry in range(9000) for line in (f'  "e{entry}": {{', f'    "threshold": {chance.random():.1f}', '    "x": 1', "  },")
    ]
    old, new = lines, list(lines)
    if kind == "few changes":
        for _ in range(200):
            new[chance.randrange(len(new))] = "changed"
    elif kind == "turned round":
        new.reverse()
    elif kind == "shuffled":
        chance.shuffle(new)
    else:
        old, new = ["a", "b"] * 20_000, ["b"] * 15_000 + ["a"] * 18_000
    began = time.process_time()
    found = text_diff("\n".join(old), "\n".join(new))
    # A second at most here; difflib alone takes minutes.
    assert time.process_time() - began < 10
    assert patched("\n".join(old), found) == new if kind == "few changes" else found
