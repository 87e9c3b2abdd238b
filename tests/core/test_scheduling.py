"""Schedules of rollouts: their stages, and their timetable."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rolling import LIVE, NOW, V6, V7, V8, contents, policies, variant
from mlconsole.core.errors import InvalidTraffic, UsageError
from mlconsole.core.freezes import FreezeWindow, frozen, frozen_between
from mlconsole.core.policies import BLUE_GREEN, CAREFUL, Policy, ShadowStage, Stage
from mlconsole.core.releases import NOTHING, Content
from mlconsole.core.rollouts import PlannedStage
from mlconsole.core.scheduling import Growth, growth, planned
from mlconsole.core.timetables import timetable, told
from mlconsole.core.traffic import WHOLE, Shadow, SliceSplit, Traffic

SHADOWED = replace(CAREFUL, shadow=ShadowStage(WHOLE, 1800.0, 300))


def told_of(stages: tuple[PlannedStage, ...]) -> list[str]:
    return [f"{stage.name}: {stage.content}" for stage in stages]


def test_the_careful_policy() -> None:
    assert told_of(planned(SHADOWED, LIVE, V7)) == [
        "shadow: v6 100 % · shadow v7 100 %",
        "1 %: v6 99 · v7 1",
        "10 %: v6 90 · v7 10",
        "50 %: v6 50 · v7 50",
        "100 %: v7 100 % · v6 at 0",
        "bake 60 min: v7 100 % · v6 at 0",
    ]
    assert [(stage.share, stage.wait, stage.evidence, stage.shadow, stage.bake) for stage in planned(SHADOWED, LIVE, V7)] == [
        (0, 1800, 300, True, False),
        (100, 600, 150, False, False),
        (1000, 600, 150, False, False),
        (5000, 600, 300, False, False),
        (WHOLE, 600, 300, False, False),
        (WHOLE, 3600, 0, False, True),
    ]
    assert [stage.name for stage in planned(replace(BLUE_GREEN, bake=0), LIVE, V7)] == ["100 %"]


def test_the_stable_ones_give_in_proportion() -> None:
    now = Content((V6, V8), Traffic({"v6": 7500, "v8": 2500}))
    ten = planned(CAREFUL, now, V7)[1].content
    assert ten.traffic == Traffic({"v6": 6750, "v8": 2250, "v7": 1000})
    whole = planned(CAREFUL, now, V7, 100)[1].content.traffic
    assert whole is not None
    assert whole.split == {"v6": 6800, "v8": 2200, "v7": 1000}


def test_slice_by_slice_and_then_the_rest() -> None:
    policy = replace(CAREFUL, stages=(Stage(1000, 60, 50), Stage(WHOLE, 60, 50)), order=("de", "language=en"), bake=90.0)
    now = Content((V6,), Traffic({"v6": WHOLE}, (SliceSplit("language", "pl", {"v6": WHOLE}),)))
    stages = planned(policy, now, V7, slice_keys=["language"])
    assert told_of(stages) == [
        "de 10 %: v6 100 · v7 0 · de: v6 90 · v7 10 · pl: v6 100",
        "de 100 %: v6 100 · v7 0 · de: v7 100 · pl: v6 100",
        "en 10 %: v6 100 · v7 0 · de: v7 100 · en: v6 90 · v7 10 · pl: v6 100",
        "en 100 %: v6 100 · v7 0 · de: v7 100 · en: v7 100 · pl: v6 100",
        "rest 10 %: v6 90 · v7 10 · de: v7 100 · en: v7 100 · pl: v6 90 · v7 10",
        "rest 100 %: v7 100 % · v6 at 0",
        "bake 90 s: v7 100 % · v6 at 0",
    ]
    assert [stage.slice for stage in stages] == ["language=de"] * 2 + ["language=en"] * 2 + [""] * 3


def test_where_it_has_a_share_already_it_begins_there() -> None:
    now = Content((V6, V7), Traffic({"v6": 8000, "v7": 2000}))
    assert [stage.name for stage in planned(SHADOWED, now, V7)] == ["50 %", "100 %", "bake 60 min"]
    shadow = Content((V6, V7), Traffic({"v6": WHOLE, "v7": 0}, (), Shadow("v7", 500)))
    assert planned(CAREFUL, shadow, V7)[0].content.traffic == Traffic({"v6": 9900, "v7": 100})
    kept = Content((V6, V8), Traffic({"v6": WHOLE, "v8": 0}, (), Shadow("v8", 500)))
    assert all(stage.content.traffic.shadow == Shadow("v8", 500) for stage in planned(CAREFUL, kept, V7) if stage.content.traffic)


@pytest.mark.parametrize(
    ("policy", "now", "granularity", "keys", "words"),
    [
        (CAREFUL, NOTHING, 1, (), "serves nothing yet"),
        (CAREFUL, Content((V7,), Traffic({"v7": WHOLE})), 1, (), "v7 has all requests already"),
        (CAREFUL, Content((replace(V7, digest="sha256:x"),), Traffic({"v7": WHOLE})), 1, (), "which is other bytes"),
        (SHADOWED, Content((V6, V8), Traffic({"v6": WHOLE, "v8": 0}, (), Shadow("v8", 1))), 1, (), "there is one shadow at a time"),
        (replace(CAREFUL, stages=(Stage(1000, 1, 1),)), LIVE, 1, (), "end at 100 %"),
        (
            replace(CAREFUL, stages=(Stage(1000, 1, 1), Stage(500, 1, 1), Stage(WHOLE, 1, 1))),
            LIVE,
            1,
            (),
            "10 → 5 → 100 %: they have to rise",
        ),
        (replace(CAREFUL, stages=()), LIVE, 1, (), "they have to rise"),
        (replace(CAREFUL, order=("de",)), LIVE, 1, (), 'names "de", and requests have no slices here'),
        (replace(CAREFUL, order=("de",)), LIVE, 1, ("language", "country"), "the slices country, language"),
        (replace(CAREFUL, order=("country=de",)), LIVE, 1, ("language",), "there is no slice country"),
        (replace(CAREFUL, order=("de", "language=de")), LIVE, 1, ("language",), "twice"),
        (replace(CAREFUL, order=("a=1", "b=1")), LIVE, 1, (), "by one slice"),
    ],
)
def test_what_can_be_no_rollout(policy: Policy, now: Content, granularity: int, keys: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned(policy, now, V7, granularity, slice_keys=keys)


def test_a_share_that_the_backend_cannot_express() -> None:
    policy = replace(CAREFUL, stages=(Stage(150, 1, 1), Stage(WHOLE, 1, 1)))
    with pytest.raises(InvalidTraffic, match=r"steps of 1 %; 1\.5 % in the policy careful") as caught:
        planned(policy, LIVE, V7, 100)
    assert caught.value.next == "1 or 2 is possible."


@given(policies(), contents())
def test_stages_are_valid_and_rise_to_all_of_it(policy: Policy, now: Content) -> None:
    """Contents that make no sense can't be made at all (`Traffic` refuses them); what is checked is that nothing is ever taken away."""
    stages = planned(policy, now, V7, slice_keys=["language"])
    before = now
    for stage in stages:
        assert stage.content.traffic is not None
        for value in ("de", "en", "pl", "other"):
            has = before.traffic.slice_split("language", value).get("v7", 0) if before.traffic else 0
            gets = stage.content.traffic.slice_split("language", value).get("v7", 0)
            assert has <= gets <= WHOLE
        assert set(stage.content.names) == {*now.names, "v7"}
        before = stage.content
    assert stages[-1].content.traffic == Traffic({name: WHOLE if name == "v7" else 0 for name in stages[-1].content.names})
    assert stages[-1].bake == (policy.bake > 0)


@given(st.integers(1, WHOLE), st.sampled_from([10, 50, 100]))
def test_in_a_coarse_backend_every_share_is_a_step(first: int, granularity: int) -> None:
    first -= first % granularity
    policy = replace(CAREFUL, stages=tuple(Stage(share, 1, 1) for share in sorted({first, WHOLE} - {0})))
    now = Content((V6, V8, variant("v9")), Traffic({"v6": 5000, "v8": 3000, "v9": 2000}))
    for stage in planned(policy, now, V7, granularity):
        assert stage.content.traffic is not None
        assert all(share % granularity == 0 for share in stage.content.traffic.split.values())
        assert stage.content.traffic.share("v7") == stage.share


def test_growth_is_that_of_appconfig() -> None:
    assert growth(Growth.LINEAR, 2000) == (2000, 4000, 6000, 8000, WHOLE)
    assert growth(Growth.LINEAR, 3000) == (3000, 6000, 9000, WHOLE)
    assert growth(Growth.EXPONENTIAL, 1000) == (1000, 2000, 4000, 8000, WHOLE)
    assert growth(Growth.EXPONENTIAL, WHOLE) == (WHOLE,)
    for factor in (0, WHOLE + 1):
        with pytest.raises(UsageError):
            growth(Growth.LINEAR, factor)


RATES = {"": 8.0, "language=de": 0.263, "language=en": 6.0, "language=pl": 1.7}


def test_the_timetable_names_the_slowest_slice() -> None:
    policy = replace(CAREFUL, stages=(Stage(1000, 600, 150), Stage(5000, 600, 150), Stage(WHOLE, 600, 150)))
    times = timetable(planned(policy, LIVE, V7), RATES, policy.guards, NOW, change=30)
    assert [time.why for time in times] == [
        "150 requests in de at 10 % take 1 h 35",
        "150 requests in de at 50 % take 19 min",
        "waits 10 min",
        "waits 1 h 00",
    ]
    assert times[0].slowest == "language=de"
    seconds = 150 / 0.0263
    assert times[0].ends == NOW + timedelta(seconds=seconds + 30)
    assert times[-1].ends == NOW + timedelta(seconds=seconds + 150 / 0.1315 + 600 + 3600 + 3 * 30)
    ends = times[-1].ends
    assert ends is not None
    assert told(times, NOW) == f"about {ends.astimezone():%H:%M}; de is slowest (150 requests at 10 % take 1 h 35)"


def test_a_slice_that_is_too_slow_is_not_judged() -> None:
    times = timetable(planned(CAREFUL, LIVE, V7), {**RATES, "language=de": 0.01}, CAREFUL.guards, NOW)
    assert [time.not_judged for time in times] == [("language=de",), ("language=de",), (), (), ()]
    assert times[0].why == "150 requests in pl at 1 % take 2 h 27"
    assert told(times, NOW).endswith("; not judged in every stage: de")
    hurried = timetable(planned(CAREFUL, LIVE, V7), RATES, CAREFUL.guards, NOW, deadline=7200)
    assert hurried[0].not_judged == ("language=de", "language=pl")
    together = [replace(rule, by_slice=False) for rule in CAREFUL.guards]
    assert timetable(planned(CAREFUL, LIVE, V7), RATES, together, NOW)[0].why == "150 requests at 1 % take 31 min"


def test_without_requests_it_never_ends() -> None:
    times = timetable(planned(SHADOWED, LIVE, V7), {"": 0.0}, CAREFUL.guards, NOW)
    assert [(time.seconds, time.ends) for time in times] == [(None, None)] * 6
    assert told(times, NOW) == "never at the present traffic: shadow has no requests now, and would hold until there are some"


def test_copies_and_slices_of_their_own_are_counted() -> None:
    policy = replace(
        SHADOWED, stages=(Stage(1000, 60, 150), Stage(WHOLE, 60, 150)), shadow=ShadowStage(1000, 60, 300), order=("de",), bake=0
    )
    times = timetable(planned(policy, LIVE, V7, slice_keys=["language"]), RATES, policy.guards, NOW)
    assert [time.why for time in times] == [
        "300 pairs take 6 min",
        "150 requests in de at 10 % take 1 h 35",
        "150 requests in de at 100 % take 10 min",
        "150 requests in pl at 10 % take 15 min",
        "150 requests in de at 100 % take 10 min",
    ]


def test_freeze_windows() -> None:
    hours = [NOW + timedelta(hours=hour) for hour in range(5)]
    early, late = FreezeWindow(hours[1], hours[2], "Black Friday", "tomek"), FreezeWindow(hours[1], hours[3])
    assert [frozen((early, late), hour) for hour in hours] == [None, late, late, None, None]
    assert frozen_between((late, early), hours[0], hours[1]) in (early, late)
    assert frozen_between((early,), hours[2], hours[4]) is None
    assert frozen_between((early,), hours[0], hours[4]) == early
