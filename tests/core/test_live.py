"""The live state beside what is wanted: what counts as a difference, as outstanding, as another state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.live import NOTHING, Live, LiveVariant, Transition, VariantState, content_of, differences, fingerprint
from mlconsole.core.releases import Content, Variant
from mlconsole.core.steps import Phase, Step, after, in_order, outstanding
from mlconsole.core.traffic import WHOLE, Shadow, SliceSplit, Traffic

READY, FAILED, CREATING, STOPPING = VariantState.READY, VariantState.FAILED, VariantState.CREATING, VariantState.STOPPING


def wanted(*names: str, traffic: Traffic | None = None) -> Content:
    variants = tuple(Variant(name, "relevance", name[1:], f"sha256:{name}") for name in names)
    return Content(variants, traffic or Traffic({name: 0 if place else WHOLE for place, name in enumerate(names)}))


def live(content: Content, **states: VariantState) -> Live:
    there = tuple(LiveVariant(v.name, states.get(v.name, READY), v.model, v.version, v.digest) for v in content.variants)
    return Live("relevance", there, content.traffic)


def told(found: Live, content: Content) -> list[str]:
    return [str(difference) for difference in differences(found, content)]


def test_no_difference_where_it_stands() -> None:
    content = wanted("v3", "v4")
    assert told(live(content), content) == []
    assert told(Live("relevance"), NOTHING) == []


def test_who_serves_has_to_be_ready_and_who_stands_by_only_to_be_there() -> None:
    """Trap 12: the stable version may be the broken one, and the way forward must not wait for it."""
    content = wanted("v3", "v4")
    assert told(live(content, v4=FAILED), content) == []
    assert told(live(content, v3=FAILED), content) == ["variant v3: wanted ready, found failed"]
    shadowed = wanted("v3", "v4", traffic=Traffic({"v3": WHOLE, "v4": 0}, (), Shadow("v4", 1000)))
    assert told(live(shadowed, v4=CREATING), shadowed) == ["variant v4: wanted ready, found creating"]
    sliced = wanted("v3", "v4", traffic=Traffic({"v3": WHOLE, "v4": 0}, (SliceSplit("language", "de", {"v4": WHOLE}),)))
    assert told(live(sliced, v4=FAILED), sliced) == ["variant v4: wanted ready, found failed"]


def test_other_bytes_under_the_same_name_are_a_difference() -> None:
    """Identity is the digest; a backend that can't say which bytes run equals nothing that we want (trap 1)."""
    content = wanted("v3")
    other = replace(live(content), variants=(LiveVariant("v3", READY, digest="sha256:abcdef0123456789"),))
    assert told(other, content) == ["variant v3: wanted digest v3, found digest abcdef012345"]
    unknown = replace(live(content), variants=(LiveVariant("v3", READY),))
    assert told(unknown, content) == ["variant v3: wanted digest v3, found unknown bytes"]


def test_what_is_left_over_is_a_difference() -> None:
    """Trap 16: nothing is left behind, not even while it goes away."""
    content = wanted("v3")
    assert told(live(wanted("v3", "v4"), v4=STOPPING), content) == [
        "share of v4: wanted none, found 0 %",
        "variant v4: wanted none, found stopping",
    ]


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (Traffic({"v3": 9000, "v4": 1000}), ["share of v3: wanted 100 %, found 90 %", "share of v4: wanted 0 %, found 10 %"]),
        (Traffic({"v3": WHOLE}), ["share of v4: wanted 0 %, found none"]),
        (Traffic({"v3": WHOLE, "v4": 0}, (), Shadow("v4", 1000)), ["shadow: wanted none, found v4 10 %"]),
        (Traffic({"v3": WHOLE, "v4": 0}, (), Shadow("v4", 0)), []),
        (
            Traffic({"v3": WHOLE, "v4": 0}, (SliceSplit("language", "de", {"v3": WHOLE, "v4": 0}),)),
            ["split of language=de: wanted as for all, found of its own"],
        ),
        (
            Traffic({"v3": WHOLE, "v4": 0}, (SliceSplit("language", "de", {"v4": WHOLE}),)),
            [
                "share of v3 in language=de: wanted 100 %, found none",
                "share of v4 in language=de: wanted 0 %, found 100 %",
            ],
        ),
        (None, ["traffic: wanted v3 100 %, found none"]),
    ],
)
def test_traffic_is_compared_wholly(found: Traffic | None, what: list[str]) -> None:
    content = wanted("v3", "v4")
    assert told(replace(live(content), traffic=found), content) == what


def test_the_fingerprint_is_of_bytes_and_shares_not_of_health() -> None:
    """A plan is made on which bytes run under which name and who gets what; that one is ill makes it no other state."""
    content = wanted("v3", "v4")
    assert fingerprint(live(content)) == fingerprint(live(content, v3=FAILED))
    assert fingerprint(live(content)) == fingerprint(replace(live(content), transition=Transition.IN_PROGRESS, reason="x"))
    turned = replace(live(content), variants=live(content).variants[::-1])
    assert fingerprint(live(content)) == fingerprint(turned)


@given(st.integers(1, WHOLE - 1), st.booleans(), st.booleans(), st.booleans())
def test_another_share_slice_shadow_or_byte_is_another_fingerprint(share: int, sliced: bool, shadowed: bool, bytes_differ: bool) -> None:
    content = wanted("v3", "v4", "v5", traffic=Traffic({"v3": WHOLE, "v4": 0, "v5": 0}))
    own = (SliceSplit("language", "de", {"v4": WHOLE}),) if sliced else ()
    other = replace(
        live(content),
        traffic=Traffic({"v3": WHOLE - share, "v4": share, "v5": 0}, own, Shadow("v5", 100) if shadowed else None),
    )
    if bytes_differ:
        other = replace(other, variants=(LiveVariant("v3", READY, digest="sha256:else"), *other.variants[1:]))
    assert fingerprint(other) != fingerprint(live(content))
    assert differences(other, content)


def test_what_is_found_becomes_a_content() -> None:
    content = wanted("v3", "v4")
    assert content_of(live(content)) == content
    assert content_of(Live("relevance")) == NOTHING
    assert content_of(live(content, v4=STOPPING)).names == ("v3",)


STEP = Step("serving", "start", "start v4", Phase.PREPARE, ensures=wanted("v4").variants)


def test_what_of_a_step_is_outstanding() -> None:
    """Invariant 2: a step is compared with the live state, whoever brought that about."""
    both = wanted("v3", "v4")
    assert outstanding(STEP, live(both)) == ()
    assert [str(left) for left in outstanding(STEP, live(both, v4=CREATING))] == ["variant v4: wanted ready, found creating"]
    assert [str(left) for left in outstanding(STEP, live(wanted("v3")))] == ["variant v4: wanted ready, found not there"]
    stop = Step("serving", "stop", "stop v4", Phase.CLEAN, removes=("v4",))
    assert outstanding(stop, live(wanted("v3"))) == ()
    assert [str(left) for left in outstanding(stop, live(both, v4=STOPPING))] == ["variant v4: wanted gone, found stopping"]
    end = Step("traffic", "end", "end", Phase.SHIFT, gone=True)
    assert outstanding(end, live(both))
    assert outstanding(end, replace(live(both), traffic=None)) == ()


def test_after_a_step_nothing_of_it_is_outstanding() -> None:
    before = live(wanted("v3"))
    shift = Step("traffic", "set", "set", Phase.SHIFT, traffic=Traffic({"v3": 9000, "v4": 1000}))
    for step in (
        STEP,
        shift,
        Step("serving", "stop", "", Phase.CLEAN, removes=("v3",)),
        Step("traffic", "end", "", Phase.SHIFT, gone=True),
    ):
        assert outstanding(step, before)
        assert outstanding(step, after(step, before)) == ()


def test_steps_of_several_roles_in_one_order() -> None:
    steps = [Step("r", phase.value + mark, "", phase) for mark in "ab" for phase in reversed(Phase)]
    assert [step.action for step in in_order(steps)] == ["preparea", "prepareb", "checka", "checkb", "shifta", "shiftb", "cleana", "cleanb"]
