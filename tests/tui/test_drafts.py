"""What a slider does, what is told of it, the command that says the same, and where drafts are kept."""

from __future__ import annotations

import json
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.errors import InvalidTraffic, UsageError
from mlconsole.core.releases import NOTHING, Content, Variant
from mlconsole.core.traffic import WHOLE, Shadow, SliceSplit, Traffic, parse_percent, same
from mlconsole.core.transitions import shared, slice_cleared, staged
from mlconsole.engine.staging import traffic_words
from mlconsole.engine.views import EndpointView, ShadowView, State, VariantView
from mlconsole.tui import drafts
from mlconsole.tui.drafts import Draft, Drafts
from mlconsole.tui.signs import ASCII, UNICODE
from mlconsole.tui.slider import Level, bar

DE, PL = ("language", "de"), ("language", "pl")
NAMES = ("v3", "v4", "v5")


def traffic(*slices: SliceSplit, shadow: Shadow | None = None, **split: int) -> Traffic:
    return Traffic(split, slices, shadow)


@st.composite
def splits(draw: st.DrawFn, names: tuple[str, ...] = NAMES) -> dict[str, int]:
    cuts = sorted(draw(st.lists(st.integers(0, WHOLE), min_size=len(names) - 1, max_size=len(names) - 1)))
    return {name: end - begin for name, begin, end in zip(names, [0, *cuts], [*cuts, WHOLE], strict=True)}


@st.composite
def traffics(draw: st.DrawFn) -> Traffic:
    slices = draw(st.lists(st.sampled_from([DE, PL]), unique=True, max_size=2))
    made = Traffic(draw(splits()), tuple(SliceSplit(*where, draw(splits())) for where in sorted(slices)))
    free = [name for name in NAMES if not made.reaches(name)]
    if free and draw(st.booleans()):
        return drafts.with_shadow(made, Shadow(draw(st.sampled_from(free)), draw(st.integers(1, WHOLE))))
    return made


# Sliders.


def test_what_one_gains_the_stable_one_loses() -> None:
    live = traffic(v3=9000, v4=1000)
    assert drafts.slid(live, live, "v4", 2500).split == {"v3": 7500, "v4": 2500}
    assert drafts.slid(live, live, "v4", 0).split == {"v3": WHOLE, "v4": 0}
    assert drafts.slid(live, live, "v3", 8000).split == {"v3": 8000, "v4": 2000}, "of the stable one the second is the counterpart"
    assert drafts.slid(live, live, "v4", WHOLE + 700).split == {"v3": 0, "v4": WHOLE}
    assert drafts.slid(live, live, "v4", -100).split == {"v3": WHOLE, "v4": 0}


def test_the_counterpart_follows_from_what_is_live_not_from_what_is_staged() -> None:
    """Else sliding past the half would turn who gives and who takes around, in the middle of a slide."""
    live = traffic(v3=6000, v4=1000, v5=3000)
    now = drafts.slid(live, live, "v4", 6500)
    assert now.split == {"v3": 500, "v4": 6500, "v5": 3000}
    assert drafts.slid(now, live, "v4", 8000).split == {"v3": 0, "v4": 8000, "v5": 2000}, "when the stable one has nothing left, the next"
    assert drafts.slid(now, live, "v4", 1000).split == live.split


def test_a_slice_gets_a_split_of_its_own_and_loses_it_when_moved_back() -> None:
    live = traffic(v3=9000, v4=1000)
    own = drafts.slid(live, live, "v4", 3000, DE)
    assert own.split == live.split
    assert drafts.own_split(own, DE) == {"v3": 7000, "v4": 3000}
    assert drafts.slid(own, live, "v4", 1000, DE) == live
    assert drafts.as_for_all(own, DE) == live
    there = drafts.slid(own, own, "v4", 1000, DE)
    assert drafts.own_split(there, DE) == {"v3": 9000, "v4": 1000}, "one that is live stays one, even where it means the same"
    with pytest.raises(InvalidTraffic, match="not by several"):
        drafts.slid(own, live, "v4", 3000, ("country", "de"))


def test_who_is_reached_is_no_shadow_any_more() -> None:
    live = traffic(v3=WHOLE, v4=0, shadow=Shadow("v4", 2000))
    assert drafts.slid(live, live, "v4", 100).shadow is None
    assert drafts.slid(live, live, "v4", 100, DE).shadow is None
    with pytest.raises(InvalidTraffic, match="gets copies only"):
        drafts.with_shadow(live, Shadow("v3", 100))
    assert drafts.with_shadow(live, None).shadow is None
    assert drafts.with_shadow(live, Shadow("v4", 0)).shadow is None


@given(traffics(), st.data())
def test_whatever_is_pressed_splits_stay_whole_and_in_range(live: Traffic, data: st.DataObject) -> None:
    now = live
    for _ in range(data.draw(st.integers(1, 12))):
        name, where = data.draw(st.sampled_from(NAMES)), data.draw(st.sampled_from([None, DE, PL]))
        before = drafts.split_of(now, where)
        if data.draw(st.integers(0, 9)) == 0 and where is not None:
            now = drafts.as_for_all(now, where)
        else:
            share = data.draw(st.one_of(st.integers(-500, WHOLE + 500), st.just(before[name] + 100), st.just(before[name] - 500)))
            now = drafts.slid(now, live, name, share, where)
            assert drafts.split_of(now, where)[name] == max(0, min(WHOLE, share))
        for split in (now.split, *(entry.split for entry in now.by_slice)):
            assert sum(split.values()) == WHOLE
            assert all(0 <= share <= WHOLE for share in split.values())
        drafts.told(live, now)


@given(splits(), st.sampled_from(NAMES), st.integers(0, WHOLE))
def test_there_and_back_again_changes_nothing(split: dict[str, int], name: str, share: int) -> None:
    """As long as the stable one has enough to give."""
    order = drafts.order_of(split, name)
    if share - split[name] <= split[order[0]]:
        assert drafts.moved(drafts.moved(split, name, share, order), name, split[name], order) == split


# What is said.


def test_what_is_staged_is_told_against_live() -> None:
    live = traffic(SliceSplit(*PL, {"v3": 5000, "v4": 5000, "v5": 0}), v3=9000, v4=1000, v5=0)
    then = Traffic({"v3": 7500, "v4": 2500, "v5": 0}, (SliceSplit(*DE, {"v3": 6950, "v4": 3050, "v5": 0}),), Shadow("v5", 2000))
    assert drafts.told(live, then) == ["v4 10 → 25 %", "pl as for all", "de v4 10 → 30.5 %", "copies off → v5 20 %"]
    assert drafts.told(live, live) == []
    only = traffic(SliceSplit(*DE, {"v3": 9000, "v4": 1000, "v5": 0}), v3=9000, v4=1000, v5=0)
    assert drafts.told(traffic(v3=9000, v4=1000, v5=0), only) == ["de a split of its own"]


def test_a_shadow_as_it_is_written() -> None:
    now = traffic(v3=WHOLE, v4=0, shadow=Shadow("v4", 2000))
    assert drafts.parse_shadow("v4 = 12.5", now) == Shadow("v4", 1250)
    assert drafts.parse_shadow("30", now) == Shadow("v4", 3000)
    assert drafts.parse_shadow("none", now) is None
    assert drafts.parse_shadow("OFF", now) is None
    for wrong in ("v4=", "v4=101", "=", "all"):
        with pytest.raises(InvalidTraffic):
            drafts.parse_shadow(wrong, now)
    with pytest.raises(InvalidTraffic, match="VARIANT=PERCENT or none"):
        drafts.parse_shadow("30", traffic(v3=WHOLE, v4=0))


@pytest.mark.parametrize("signs", [UNICODE, ASCII])
@given(st.integers(0, WHOLE), st.integers(0, WHOLE), st.integers(0, 60), st.booleans())
def test_a_bar_is_as_wide_as_it_has_to_be(signs: object, live: int, staged_share: int, width: int, stable: bool) -> None:
    drawn = bar(Level(live, staged_share, stable=stable), width, signs)  # type: ignore[arg-type]
    text = "".join(piece for piece, _ in drawn)
    assert len(text) == width
    assert set(text) <= {signs.full, signs.half, signs.empty}  # type: ignore[attr-defined]
    if width:
        assert (text[0] == signs.empty) == (staged_share == 0), "little is never drawn as nothing"  # type: ignore[attr-defined]
        assert (text == signs.full * width) == (staged_share == WHOLE), "not quite all is never drawn as all"  # type: ignore[attr-defined]
    assert (not any(words == "yellow" for _, words in drawn)) or live != staged_share


def test_a_bar_tells_live_from_staged() -> None:
    assert bar(Level(2500, 2500), 8, UNICODE) == [("██", "cyan"), ("░░░░░░", "dim")]
    assert bar(Level(2500, 5000), 8, UNICODE) == [("██", "cyan"), ("██", "yellow"), ("░░░░", "dim")]
    assert bar(Level(5000, 2500), 8, UNICODE) == [("██", "cyan"), ("░░", "yellow"), ("░░░░", "dim")]
    assert bar(Level(7500, 7500, stable=True), 4, ASCII) == [("###.", "dim")]


# The one command, and the content.


@given(traffics(), traffics())
def test_the_command_says_the_same_or_there_is_none(now: Traffic, then: Traffic) -> None:
    words = traffic_words("relevance", now, then)
    if not words:
        return
    assert same(_by_command(now, words), then)


@given(traffics(), st.sampled_from(NAMES), st.integers(0, WHOLE), st.sampled_from([None, DE]))
def test_one_slider_is_one_command(now: Traffic, name: str, share: int, where: tuple[str, str] | None) -> None:
    then = drafts.slid(now, now, name, share, where)
    if not same(now, then):
        assert same(_by_command(now, traffic_words("relevance", now, then)), then)


def _by_command(now: Traffic, words: list[str]) -> Traffic | None:
    """What the command line would make of it."""
    assert words[0] == "traffic"
    assert words[2] == "relevance"
    options = dict(pairwise(words))
    key, _, value = options.get("--slice", "").partition("=")
    positional = takewhile(lambda word: not word.startswith("--"), words[3:])
    named = {name: parse_percent(text) for name, _, text in (word.partition("=") for word in positional)}
    shadow = options.get("--shadow")
    if words[1] == "clear":
        return slice_cleared(Content((), now), key, value).traffic
    copies = Shadow(shadow.partition("=")[0], parse_percent(shadow.partition("=")[2])) if shadow and shadow != "none" else None
    return shared(Content((), now), named, (key, value) if key else None, copies, end_shadow=shadow == "none").traffic


def test_the_shortest_command_is_given() -> None:
    live = traffic(v3=9000, v4=1000, v5=0)
    assert traffic_words("r", live, traffic(v3=7500, v4=2500, v5=0)) == ["traffic", "set", "r", "v4=25"]
    own = drafts.slid(live, live, "v4", 3000, DE)
    assert traffic_words("r", live, own) == ["traffic", "set", "r", "v4=30", "--slice", "language=de"]
    assert traffic_words("r", own, live) == ["traffic", "clear", "r", "--slice", "language=de"]
    assert traffic_words("r", live, drafts.slid(own, live, "v4", 2000)) == [], "two splits at once are no one line"
    shadowed = drafts.with_shadow(traffic(v3=7500, v4=2500, v5=0), Shadow("v5", 2000))
    assert traffic_words("r", live, shadowed) == ["traffic", "set", "r", "v4=25", "--shadow", "v5=20"]
    assert traffic_words("r", shadowed, traffic(v3=7500, v4=2500, v5=0)) == ["traffic", "set", "r", "--shadow", "none"]


def test_a_staged_traffic_becomes_a_content() -> None:
    variants = tuple(Variant(name, "relevance", name, f"sha256:{name}") for name in ("v3", "v4"))
    now = Content(variants, traffic(SliceSplit(*DE, {"v4": WHOLE}), v3=WHOLE, v4=0))
    same_again = traffic(SliceSplit(*DE, {"v3": 0, "v4": WHOLE}), v3=WHOLE, v4=0)
    assert staged(now, same_again) == now, "a split that means the same stays as it is written"
    both = traffic(SliceSplit(*PL, {"v4": WHOLE}), SliceSplit(*DE, {"v3": WHOLE}), v3=9000, v4=1000)
    made = staged(now, both).traffic
    assert made is not None
    assert [entry.value for entry in made.by_slice] == ["de", "pl"]
    assert made.slice_split(*PL) == {"v3": 0, "v4": WHOLE}
    with pytest.raises(InvalidTraffic, match='no variant "v6" here'):
        staged(now, traffic(v3=9000, v6=1000))
    with pytest.raises(UsageError):
        staged(NOTHING, both)


# Where they are kept.


def view(**changes: object) -> EndpointView:
    variants = tuple(
        VariantView(n, "relevance", n[1:], "ready", "", s, s, None, 0, 0.0) for n, s in (("v3", 9000), ("v4", 1000), ("v5", 0))
    )
    return EndpointView(
        **{"name": "relevance", "environment": "staging", "state": State.OK, "finding": "", "next": "", "variants": variants, **changes}
    )  # type: ignore[arg-type]


def test_the_live_traffic_of_a_view() -> None:
    own = {"de": {"v3": 0, "v4": WHOLE}}
    seen = drafts.live_traffic(view(by_slice=own, slice_key="language", shadow=ShadowView("v5", 2000, 2000, None)))
    assert seen == traffic(SliceSplit(*DE, {"v3": 0, "v4": WHOLE}), v3=9000, v4=1000, v5=0, shadow=Shadow("v5", 2000))
    ended = drafts.live_traffic(view(shadow=ShadowView("v5", 0, 2000, None)))
    assert ended == traffic(v3=9000, v4=1000, v5=0), "a shadow that is only reported is not wanted"
    assert drafts.live_traffic(view(variants=())) is None


DRAFT = Draft(5, Traffic({"v3": 7500, "v4": 2500}, (SliceSplit(*DE, {"v3": 1000, "v4": 9000}),)))
OTHER = Draft(2, traffic(v1=WHOLE, v2=0, shadow=Shadow("v2", 50)))


def test_drafts_are_found_again_by_their_owner_only(tmp_path: Path) -> None:
    path = drafts.path_of(tmp_path / ".mlconsole", "anna")
    kept = Drafts(path)
    kept.put("staging", "relevance", DRAFT)
    kept.put("production", "relevance", OTHER)
    assert path.name == "drafts-anna.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again = Drafts(path)
    assert again.get("staging", "relevance") == DRAFT
    assert again.get("production", "relevance") == OTHER
    again.put("staging", "relevance", None)
    assert Drafts(path).get("staging", "relevance") is None
    assert Drafts(path).get("production", "relevance") == OTHER
    assert drafts.path_of(tmp_path, "../x y").parent == tmp_path


def test_two_consoles_of_one_person_do_not_lose_each_others_drafts(tmp_path: Path) -> None:
    path = tmp_path / "drafts.json"
    one, two = Drafts(path), Drafts(path)
    one.put("staging", "relevance", DRAFT)
    two.put("staging", "severity", OTHER)
    assert Drafts(path).get("staging", "relevance") == DRAFT
    assert one.get("staging", "severity") is None
    one.again()
    assert one.get("staging", "severity") == OTHER


def test_a_damaged_file_or_draft_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "drafts.json"
    for text in ("", "{", "[]", '{"schema": 9, "drafts": {}}', '{"schema": 1, "drafts": {"staging": [1]}}'):
        path.write_text(text)
        assert Drafts(path).get("staging", "relevance") is None
    Drafts(path).put("staging", "relevance", DRAFT)
    body = json.loads(path.read_text())
    body["drafts"]["staging"]["severity"] = {"release": 1, "split": {"v3": 12}, "by_slice": [], "shadow": None}
    body["drafts"]["staging"]["category"] = "x"
    path.write_text(json.dumps(body))
    assert Drafts(path).get("staging", "relevance") == DRAFT
    assert Drafts(path).get("staging", "severity") is None


def test_without_a_file_or_a_disk_drafts_last_as_long_as_the_console(tmp_path: Path) -> None:
    for store in (Drafts(), Drafts(tmp_path / "is a file" / "drafts.json")):
        (tmp_path / "is a file").touch()
        store.put("staging", "relevance", DRAFT)
        store.again()
        store.put("staging", "severity", OTHER)
        assert store.get("staging", "relevance") == DRAFT
        assert store.get("staging", "severity") == OTHER
