"""Alarms: one trouble is one alarm, it is told once, and it is closed only when each slice is proven well again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlconsole.core.alarms import (
    NEEDED,
    QUIET,
    QUIET_AGAIN,
    Alarm,
    AlarmState,
    Finding,
    Settlement,
    Told,
    acknowledge,
    close_by_hand,
    settle,
)
from mlconsole.core.errors import UsageError
from mlconsole.core.health import Answer, Question
from mlconsole.core.models import Actor
from mlconsole.core.verdicts import Verdict

START = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
ANNA = Actor("anna", "bastion")
DEPENDS = {"relevance": ("redis",), "category": ("redis",)}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def fail(
    question: Question = Question.ERRORS,
    slice: str = "language=de",  # noqa: A002
    since: float | None = 0.0,
    subject: str = "",
    variant: str = "",
    value: float = 1.0,
) -> Answer:
    return Answer(
        question,
        Verdict.FAIL,
        variant,
        slice,
        subject,
        value=value,
        n=9,
        since=None if since is None else at(since).timestamp(),
        text=f"{value}",
    )


class World:
    """The alarms of an environment as a registry keeps them."""

    def __init__(self, depends: Mapping[str, Sequence[str]] = DEPENDS) -> None:
        self.alarms: dict[int, Alarm] = {}
        self.told: list[tuple[int, str]] = []
        self.depends = depends

    def look(self, seconds: float, failing: Mapping[str, Sequence[Answer]], good: Mapping[str, int] | int = 0) -> Settlement:
        def proofs(finding: Finding) -> Mapping[str, int]:
            return dict.fromkeys(finding.slices, good) if isinstance(good, int) else good

        settled = settle(list(self.alarms.values()), failing, proofs, at(seconds), environment="production", depends=self.depends)
        numbered = []
        for one in settled.changed:
            numbered.append(one if one.number else replace(one, number=len(self.alarms) + 1))
            self.alarms[numbered[-1].number] = numbered[-1]
        for told in settled.notices:
            if (said := (numbered[told.place].number, told.key)) not in self.told:
                self.told.append(said)
        return settled

    @property
    def open(self) -> list[Alarm]:
        return [one for one in self.alarms.values() if one.state is not AlarmState.CLOSED]

    def keys(self, number: int = 1) -> list[str]:
        return [key for of, key in self.told if of == number]


def test_variants_and_slices_of_one_question_are_one_finding() -> None:
    world = World()
    world.look(60, {"relevance": [fail(slice="language=pl", since=7, variant="v7", value=0.4), fail(variant="v6"), fail()]})
    (alarm,) = world.open
    (found,) = alarm.findings
    assert (found.slices, found.variants) == (("language=de", "language=pl"), ("v6", "v7"))
    assert (found.since, found.seen, found.value, found.text) == (at(0), at(60), 1.0, "1.0")
    assert (alarm.state, alarm.opened, alarm.number, alarm.environment) == (AlarmState.FIRING, at(60), 1, "production")
    assert world.keys() == ["opened"]


def test_what_passes_is_no_finding() -> None:
    assert settle(
        [], {"relevance": [replace(fail(), verdict=Verdict.NO_DATA)]}, lambda _: {}, START, environment="x", depends={}
    ) == Settlement((), ())


@pytest.mark.parametrize(("apart", "number"), [(120, 1), (121, 2), (-120, 1), (-121, 2)])
def test_the_same_question_at_the_same_time_is_one_trouble(apart: float, number: int) -> None:
    world = World(depends={})
    world.look(600, {"relevance": [fail(since=300)], "category": [fail(since=300 + apart)]})
    assert len(world.open) == number


def test_a_slow_trickle_does_not_become_one_chain() -> None:
    world = World(depends={})
    world.look(900, {f"e{place}": [fail(since=100.0 * place)] for place in range(4)})
    assert [alarm.endpoints for alarm in world.open] == [("e0", "e1"), ("e2", "e3")]


def test_another_question_of_the_same_endpoint_joins_and_only_a_worse_one_is_told() -> None:
    world = World()
    world.look(60, {"relevance": [fail()]})
    world.look(900, {"relevance": [fail(), fail(Question.LATENCY, since=800)]})
    assert world.keys() == ["opened"]
    world.look(905, {"relevance": [fail(), fail(Question.IDENTICAL, since=890)]})
    assert world.keys() == ["opened", "joined:identical:relevance"]
    assert world.open[0].worst.question is Question.IDENTICAL
    assert (world.open[0].since, world.open[0].named_since) == (at(0), at(890))


def test_what_depends_on_a_failing_probe_joins_it_and_the_other_way_round() -> None:
    probe = {"": [fail(Question.DEPENDENCY, "", subject="redis")]}
    world = World()
    world.look(5, probe)
    endpoints = {"relevance": [fail(Question.IDENTICAL, "", since=400)], "category": [fail(Question.LATENCY, "", since=900)]}
    world.look(1000, {**probe, **endpoints})
    assert [one.endpoints for one in world.open] == [("relevance", "category")]
    assert world.keys() == ["opened", "joined:identical:relevance,latency:category"]
    round_about = World()
    round_about.look(1000, endpoints)
    assert len(round_about.open) == 2
    round_about.look(1005, {**endpoints, "": [fail(Question.DEPENDENCY, "", since=1004, subject="redis")]})
    assert [len(one.findings) for one in round_about.open] == [2, 1]
    at_once = World()
    at_once.look(1000, {**endpoints, **probe})
    assert len(at_once.open) == 1
    elsewhere = World(depends={"relevance": ("postgres",)})
    elsewhere.look(1000, {**probe, "relevance": [fail(Question.IDENTICAL, "", since=400)]})
    assert len(elsewhere.open) == 2


def test_it_recovers_is_found_again_and_is_closed_with_proof_of_each_slice() -> None:
    world = World()
    world.look(0, {"relevance": [fail(), fail(slice="language=pl")]})
    world.look(10, {}, {"language=de": 5, "language=pl": NEEDED})
    (alarm,) = world.open
    assert (alarm.state, alarm.recovering, dict(alarm.findings[0].proven)) == (
        AlarmState.RECOVERING,
        at(10),
        {"language=de": 5, "language=pl": NEEDED},
    )
    world.look(20, {"relevance": [fail()]})
    (alarm,) = world.open
    assert (alarm.state, alarm.recovering, alarm.findings[0].slices, dict(alarm.findings[0].proven)) == (
        AlarmState.FIRING,
        None,
        ("language=de", "language=pl"),
        {},
    )
    world.look(30, {}, NEEDED)
    world.look(30 + QUIET - 1, {}, NEEDED)
    assert world.open[0].findings[0].well
    world.look(30 + QUIET, {}, NEEDED)
    assert world.open == []
    assert (world.alarms[1].closed, world.alarms[1].closed_by) == (at(30 + QUIET), "")
    assert world.keys() == ["opened", "recovering", "closed"]


def test_a_quiet_night_takes_no_proof_away_but_a_bad_prediction_does() -> None:
    world = World()
    world.look(0, {"relevance": [fail(), fail(slice="language=pl")]})
    world.look(100, {}, {"language=de": NEEDED, "language=pl": 29})
    world.look(200, {}, {"language=pl": 12})
    assert world.open[0].findings[0].proven == {"language=de": NEEDED, "language=pl": 29}
    world.look(300, {}, {"language=pl": 0})
    assert world.open[0].findings[0].proven == {"language=de": NEEDED, "language=pl": 0}
    world.look(400, {}, {"language=pl": NEEDED})
    assert world.open == []


@pytest.mark.parametrize(("quiet", "told"), [(300, ["opened", "recovering"]), (301, ["opened", "recovering", "again:2026-03-14T08"])])
def test_found_again_is_told_only_when_it_had_been_quiet(quiet: float, told: list[str]) -> None:
    world = World()
    world.look(0, {"relevance": [fail()]})
    world.look(10, {})
    world.look(10 + quiet, {"relevance": [fail()]})
    assert world.keys() == told


def test_what_flaps_is_told_a_few_times_an_hour_at_the_most() -> None:
    for period in (10, 70, 130, 400):
        world = World()
        for turn in range(int(3600 / period)):
            world.look(turn * period, {"relevance": [fail()]})
            for seconds in range(5, period, 5):
                world.look(turn * period + seconds, {}, NEEDED)
        assert len(world.told) <= 8, (period, world.told)


def test_what_was_closed_lately_stays_open_for_longer_than_what_was_not() -> None:
    world = World()
    for begin in (0, 100, 5000):
        world.look(begin, {"relevance": [fail(since=begin)]})
        world.look(begin + 1, {}, NEEDED)
        world.look(begin + 2000, {}, NEEDED) if begin else world.look(begin + 61, {}, NEEDED)
    assert [alarm.quiet for alarm in world.alarms.values()] == [QUIET, QUIET_AGAIN, QUIET]


def test_acknowledged_is_taken_over_and_what_is_closed_is_closed() -> None:
    world = World()
    world.look(0, {"relevance": [fail()]})
    alarm = acknowledge(world.open[0], ANNA, at(5), "refilling")
    alarm = acknowledge(alarm, Actor("tomek", "bastion"), at(6), "")
    assert alarm.acknowledged is not None
    assert alarm.acknowledged.who.user == "tomek"
    world.alarms[1] = alarm
    world.look(10, {"relevance": [fail()]})
    assert world.open[0].acknowledged == alarm.acknowledged
    with pytest.raises(UsageError, match="needs a reason"):
        close_by_hand(alarm, ANNA, at(7), "\n")
    closed = close_by_hand(alarm, ANNA, at(7), "a drill")
    assert (closed.state, closed.closed, closed.closed_by) == (AlarmState.CLOSED, at(7), "anna@bastion: a drill")
    for deed in (lambda: acknowledge(closed, ANNA, at(8), ""), lambda: close_by_hand(closed, ANNA, at(8), "x")):
        with pytest.raises(UsageError, match="Alarm 1 is closed already"):
            deed()


QUESTIONS = st.sampled_from([Question.IDENTICAL, Question.ERRORS, Question.SILENT, Question.LATENCY])
ANSWERS = st.builds(
    fail,
    QUESTIONS,
    st.sampled_from(["", "language=de", "language=pl"]),
    st.sampled_from([None, 0.0, 50.0, 500.0, 5000.0]),
    variant=st.sampled_from(["", "v6", "v7"]),
)
PROBES = st.builds(fail, st.just(Question.DEPENDENCY), st.just(""), st.just(None), st.sampled_from(["redis", "postgres"]))
FAILING = st.dictionaries(st.sampled_from(["relevance", "category", "dedupe"]), st.lists(ANSWERS, max_size=3), max_size=3)
LOOKS = st.tuples(
    st.sampled_from([1.0, 10.0, 61.0, 400.0, 2000.0]),
    st.one_of(st.just({}), FAILING),
    st.lists(PROBES, max_size=1),
    st.dictionaries(st.sampled_from(["", "language=de", "language=pl"]), st.sampled_from([0, 1, NEEDED - 1, NEEDED, 99])),
)


@settings(deadline=None)
@given(st.lists(LOOKS, min_size=1, max_size=25))
def test_whatever_is_found(looks: list[tuple[float, dict[str, list[Answer]], list[Answer], dict[str, int]]]) -> None:
    world, now = World(), 0.0
    proven: dict[tuple[int, Question, str, str, str], bool] = {}
    for seconds, endpoints, probes, good in looks:
        now += seconds
        failing = {**endpoints, "": probes}
        before = dict(world.alarms)
        settled = world.look(now, failing, good)
        # What is closed is never touched again.
        for number, alarm in before.items():
            if alarm.state is AlarmState.CLOSED:
                assert world.alarms[number] == alarm
        # Each failing answer is in exactly one open alarm.
        for endpoint, answers in failing.items():
            for answer in answers:
                homes = [
                    one
                    for one in world.open
                    for found in one.findings
                    if (found.question, found.endpoint, found.subject) == (answer.question, endpoint, answer.subject)
                    and answer.slice in found.slices
                    and (not answer.variant or answer.variant in found.variants)
                    and found.seen == at(now)
                ]
                assert len(homes) == 1
                assert homes[0].state is AlarmState.FIRING
        # Nothing is closed without proof since it was found last, slice by slice.
        for alarm in world.alarms.values():
            if before.get(alarm.number, alarm).state is AlarmState.CLOSED:
                continue
            for found in alarm.findings:
                for name in found.slices:
                    key = (alarm.number, found.question, found.endpoint, found.subject, name)
                    proven[key] = found.seen != at(now) and (proven.get(key, False) or good.get(name, 0) >= NEEDED)
                    assert alarm.state is not AlarmState.CLOSED or proven[key]
        assert all(0 <= told.place < len(settled.changed) for told in settled.notices)
        assert [told for told in settled.notices if told.kind == "opened"] == [
            Told(place, "opened") for place, one in enumerate(settled.changed) if one.number == 0
        ]
    # What is told is bounded by what it is about and by the hours, not by how often it was looked at.
    for number, alarm in world.alarms.items():
        keys = world.keys(number)
        hours = now // 3600 + 2
        assert len(keys) <= 3 + len(alarm.findings) + hours
        assert keys[0] == "opened"
        assert keys.count("closed") == (alarm.state is AlarmState.CLOSED)
