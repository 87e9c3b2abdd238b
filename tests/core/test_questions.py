"""Each question that pages, by example: the story's own cases on drawn traffic of 50 requests a second (78 % en, 20 % pl, 2 % de)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.drawn import CANARY, DE, ENDPOINT, MIX, NOW, ON, Kind, Story, clean, evidence, of, the
from mlconsole.core.health import OTHER, PAGES, Baseline, Question, Settings
from mlconsole.core.questions import judge, proven
from mlconsole.core.summaries import APPLICATION, Key, Summary
from mlconsole.core.verdicts import Verdict


def test_clean_traffic_passes_in_every_slice() -> None:
    health = Story().until(NOW + 120).health()
    assert health.verdict is Verdict.PASS
    assert not health.failing
    assert [row.slice for row in health.slices] == ["", DE, "language=en", "language=pl"]
    assert {row.verdict for row in health.slices} == {Verdict.PASS}
    assert health.figures.rate == pytest.approx(50, rel=0.05)
    assert health.figures.errors is not None
    assert health.figures.errors < 0.01
    assert health.figures.same is not None
    assert health.figures.same < 0.1
    assert health.figures.over == pytest.approx(0.332, abs=0.05)
    assert health.usual.p95 == pytest.approx(21, rel=0.1)
    assert list(health.variants) == ["v3"]
    for question in (Question.ERRORS, Question.IDENTICAL, Question.LATENCY):
        assert the(health, question, DE).verdict is Verdict.PASS


def test_all_predictions_identical() -> None:
    story = Story(of(Kind(collapsed=True)))
    assert story.found_after(Question.IDENTICAL) <= 12
    health = story.until(ON + 60).health()
    assert health.verdict is Verdict.FAIL
    assert {one.slice for one in health.failing} == {"", *MIX}
    told = the(health, Question.IDENTICAL)
    assert told.text == "100 % same (48 of 48 inputs), usual 0 %, all 0.73"
    assert told.since is not None
    assert abs(told.since - ON) <= 10
    assert told.value == 1.0


def test_one_language_identical_is_found_within_a_minute() -> None:
    story = Story(of(Kind(collapsed=True), "de"))
    assert story.found_after(Question.IDENTICAL, slice_name=DE) <= 40
    health = story.health()
    assert the(health, Question.IDENTICAL).verdict is Verdict.PASS
    assert health.slices[1].slice == DE, "the worst one first, after all requests"
    assert health.slices[1].worst == the(health, Question.IDENTICAL, DE)


def test_the_same_input_again_is_unknown_and_no_collapse() -> None:
    story = Story(of(Kind(inputs=1)), mix={DE: 1.0}).until(NOW + 1_000)
    answer = the(story.health(), Question.IDENTICAL)
    assert answer.verdict is Verdict.INCONCLUSIVE
    assert answer.text == "the same input again: unknown"
    assert story.health().verdict is Verdict.INCONCLUSIVE


def test_a_few_inputs_with_outputs_of_their_own_are_not_identical() -> None:
    story = Story(of(Kind(inputs=6)), mix={DE: 1.0}).until(NOW + 1_000)
    assert the(story.health(), Question.IDENTICAL).verdict is Verdict.PASS


def test_few_distinct_inputs_with_one_output_are_too_few() -> None:
    story = Story(of(Kind(inputs=9, collapsed=True)), mix={DE: 1.0}).until(NOW + 1_000)
    answer = the(story.health(), Question.IDENTICAL)
    assert (answer.verdict, answer.n, answer.need) == (Verdict.INCONCLUSIVE, 9, 15)


def test_a_model_of_few_answers_is_not_called_collapsed() -> None:
    """A classifier of which 90 % of the answers are `no`: fifteen in a row are usual, a hundred are not."""

    def window(equal: int, of: int, begin: int) -> Summary:
        return Summary(n=of, first=begin, last=begin + 9, sample={begin + i: 1 if i < equal else 2 for i in range(of)})

    begin = int(NOW)
    key = Key(ENDPOINT, "v3", False, "")
    profile = Baseline(n=1_500, distinct_outputs=2 / 1_500, edges=(0.0, 0.5, 1.0), counts=(1_350, 150))
    many = {begin - 3_000 + 10 * i: window(14, 16, begin - 3_000 + 10 * i) for i in range(280)}
    for equal, verdict in ((20, Verdict.INCONCLUSIVE), (200, Verdict.FAIL)):
        windows = {key: {**many, begin: window(equal, equal, begin)}}
        now = evidence(windows, begin + 9.5, baselines={"v3": profile})
        # Only the newest window speaks: those before it are the usual.
        judged = judge(replace(now, windows={key: {at: one for at, one in windows[key].items() if at == begin or at < begin - 900}}))
        assert the(judged, Question.IDENTICAL).verdict is verdict


def test_identical_without_baseline_and_usual_takes_forty_inputs() -> None:
    begin = int(NOW)
    key = Key(ENDPOINT, "v3", False, "")
    for count, verdict in ((39, Verdict.INCONCLUSIVE), (40, Verdict.FAIL)):
        one = Summary(n=count, first=begin, last=begin + 9, sample=dict.fromkeys(range(count), 7))
        health = judge(evidence({key: {begin: one}}, begin + 9.5, baselines={}))
        assert the(health, Question.IDENTICAL).verdict is verdict


def test_the_newest_answer_to_an_input_counts() -> None:
    """The same inputs again and again: what they were answered before the collapse does not hide it."""
    begin = int(NOW)
    before = {i: 100 + i if i < 10 else 7 for i in range(25)}
    windows = {
        begin: Summary(n=10, first=begin, last=begin + 9, sample=dict.fromkeys(range(10), 7)),
        begin - 10: Summary(n=25, first=begin - 10, last=begin - 1, sample=before),
    }
    health = judge(evidence({Key(ENDPOINT, "v3", False, ""): windows}, begin + 9.5))
    answer = the(health, Question.IDENTICAL)
    assert (answer.verdict, answer.n, answer.value) == (Verdict.FAIL, 25, 1.0)


def test_a_collapsed_variant_with_a_tenth_of_the_traffic_is_found() -> None:
    story = Story(of(Kind(collapsed=True), variant="v4"), variants=CANARY)
    assert story.found_after(Question.IDENTICAL) <= 30
    health = story.until(ON + 60).health()
    assert the(health, Question.IDENTICAL, variant="v4").verdict is Verdict.FAIL
    assert the(health, Question.IDENTICAL, variant="v3").verdict is Verdict.PASS
    assert the(health, Question.IDENTICAL).verdict is Verdict.PASS, "nine in ten are fine"
    assert health.slices[0].verdict is Verdict.FAIL


def test_every_request_of_one_language_fails() -> None:
    story = Story(of(Kind(errors=1.0), "de"))
    assert story.found_after(Question.ERRORS, slice_name=DE) <= 30
    health = story.until(ON + 60).health()
    (found,) = health.failing
    assert (found.question, found.slice) == (Question.ERRORS, DE)
    assert found.since is not None
    assert abs(found.since - ON) <= 10
    assert found.text.startswith("100 % (")
    assert found.usual == pytest.approx(0.002, abs=0.002)
    assert the(health, Question.ERRORS).verdict is Verdict.PASS, "in the total it is 2 %: an ordinary alarm says OK"


def test_a_language_broken_for_an_hour_stays_found() -> None:
    """Without anybody having said that an alarm was firing: what fails wholly never becomes usual."""
    story = Story(of(Kind(errors=1.0), "de")).until(ON + 1_800)
    told = the(story.health(), Question.ERRORS, DE)
    assert told.verdict is Verdict.FAIL
    assert told.usual == pytest.approx(0.002, abs=0.002), "what was before it"
    assert told.since is not None
    assert abs(told.since - ON) <= 10
    assert the(story.until(ON + 3_600).health(), Question.ERRORS, DE).verdict is Verdict.FAIL


def test_a_dead_server_is_found_within_seconds() -> None:
    assert Story(of(Kind(errors=1.0))).found_after(Question.ERRORS) <= 4


def test_throttling_is_told_apart() -> None:
    health = Story(of(Kind(throttled=0.5))).until(ON + 90).health()
    assert the(health, Question.ERRORS).verdict is Verdict.PASS
    assert the(health, Question.THROTTLED).verdict is Verdict.FAIL
    assert health.verdict is Verdict.PASS, "it informs"
    assert not health.failing


def test_a_language_falls_silent() -> None:
    story = Story(of(None, "de"))
    assert story.found_after(Question.SILENT) <= 45
    (found,) = story.health().failing
    assert found.slice == DE
    assert found.since is not None
    assert abs(found.since - ON) <= 10
    assert found.text.startswith("no request for ")
    assert "expected 2" in found.text


def test_a_language_that_comes_in_bursts_is_not_silent_between_them() -> None:
    """Ten minutes without, one minute with: usual, as long as the pause is."""

    def bursts(variant: str, name: str, at: float) -> Kind | None:
        return Kind() if name != DE or at % 660 < 60 else None

    story = Story()
    story.windows, story.now = {}, NOW - 3_500
    story.drawn.kind = bursts
    assert story.until(NOW - NOW % 660 + 600).health().verdict is Verdict.PASS


def test_a_language_stays_silent_until_it_comes_again() -> None:
    """Its own silence is no pause that is usual, nor is a rest of the whole endpoint."""
    story = Story(lambda v, s, at: None if (at > ON and s == DE) or ON - 900 < at < ON - 300 else Kind())
    story.windows = {key: {at: one for at, one in mine.items() if not -900 < at - ON < -300} for key, mine in story.windows.items()}
    story.until(ON)
    for seconds in (60, 200, 300, 700, 1_500):
        assert the(story.until(ON + seconds).health(), Question.SILENT, DE).verdict is Verdict.FAIL
    story.drawn.kind = clean
    assert the(story.until(ON + 1_530).health(), Question.SILENT, DE).verdict is Verdict.PASS


def test_silence_may_be_nobodys_business() -> None:
    story = Story(of(None, "de"))
    story.settings = Settings(silent=False)
    assert not story.until(ON + 120).health().failing


def test_a_slow_version() -> None:
    story = Story(of(Kind(milliseconds=400)))
    assert story.found_after(Question.LATENCY) <= 30
    told = the(story.until(ON + 60).health(), Question.LATENCY)
    assert told.usual == pytest.approx(21, rel=0.1)
    assert told.value is not None
    assert told.value > 400
    assert told.limit == pytest.approx(50 + (told.usual or 0))
    assert told.text.startswith("p95 ")
    assert ", usual 2" in told.text


def test_a_little_slower_pages_nobody() -> None:
    assert not Story(of(Kind(milliseconds=24))).until(ON + 300).health().failing


def test_an_absolute_limit_needs_no_usual() -> None:
    story = Story(of(Kind(milliseconds=24)))
    story.settings = Settings(latency_ms=30.0)
    story.windows, story.now = {}, NOW
    assert the(story.until(ON + 60).health(), Question.LATENCY).verdict is Verdict.FAIL


def test_the_begin_of_a_trouble_that_is_just_over() -> None:
    """The newest windows are well again: that is no reason not to look further back."""
    begin = int(NOW)
    slow = {
        begin - at: Summary(n=78, first=begin - at, last=begin - at + 9, latency={95 if at in (20, 30) else 40: 78})
        for at in (0, 10, 20, 30, 40)
    }
    story = evidence({Key(ENDPOINT, "v3", False, ""): slow}, begin + 0.5, settings=Settings(latency_ms=100.0))
    answer = the(judge(story), Question.LATENCY)
    assert answer.verdict is Verdict.FAIL
    assert answer.since == begin - 30


def test_an_endpoint_that_never_had_a_request_has_no_data() -> None:
    health = judge(evidence({}, NOW))
    assert health.verdict is Verdict.NO_DATA
    assert the(health, Question.ERRORS).text == "no request yet"
    assert [row.slice for row in health.slices] == [""]
    assert health.slices[0].verdict is Verdict.NO_DATA
    assert health.figures.n == 0
    assert health.figures.errors is None


def test_an_endpoint_without_requests_is_never_green() -> None:
    story = Story(of(None)).until(ON)
    assert story.health().verdict is Verdict.PASS
    assert story.until(ON + 12).health().verdict is Verdict.NO_DATA
    health = story.until(ON + 40).health()
    assert the(health, Question.IDLE).verdict is Verdict.FAIL
    assert not health.failing, "consumers may rest"
    assert {row.verdict for row in health.slices} == {Verdict.NO_DATA}
    assert not [one for one in health.answers if one.question in PAGES and one.verdict is Verdict.PASS]
    assert story.until(ON + 3_000).health().verdict is Verdict.NO_DATA


def test_small_slices_are_pooled_in_sight() -> None:
    mix = {"language=en": 0.98, "language=fi": 0.008, "language=sv": 0.012}
    story = Story(of(Kind(errors=1.0), "fi"), rate=1.0, mix=mix).until(NOW + 200)
    health = story.health()
    pool = next(row for row in health.slices if row.slice == OTHER)
    assert pool.pooled == ("language=fi", "language=sv")
    assert {row.slice for row in health.slices} == {"", "language=en", OTHER}
    assert health.verdict is Verdict.PASS, "what is too small to be judged holds nobody up"


def test_what_an_application_says_is_asked_for_itself() -> None:
    story = Story().until(NOW + 120)
    key = Key(ENDPOINT, APPLICATION, False, DE)
    story.windows[key] = {int(NOW) + at: Summary(n=20, failed=20, first=NOW + at, last=NOW + at + 9) for at in range(-600, 120, 10)}
    health = story.health()
    assert the(health, Question.ERRORS, DE, APPLICATION).verdict is Verdict.FAIL
    assert the(health, Question.ERRORS, DE).verdict is Verdict.PASS
    assert health.figures.rate == pytest.approx(50, rel=0.05), "the same requests are not counted twice"


def test_copies_for_a_shadow_are_no_consumers_requests() -> None:
    story = Story().until(NOW + 120)
    story.windows[Key(ENDPOINT, "v5", True, "")] = {int(NOW) + 100: Summary(n=900, failed=900, first=NOW + 100, last=NOW + 109)}
    assert story.health().verdict is Verdict.PASS


def test_requests_that_reached_nobody_are_errors() -> None:
    story = Story(of(None)).until(ON + 20)
    story.windows[Key(ENDPOINT, "", False, "")] = {
        int(NOW) + at: Summary(n=500, failed=500, first=NOW + at, last=NOW + at + 9) for at in (10, 20)
    }
    assert the(story.health(), Question.ERRORS).verdict is Verdict.FAIL


def test_an_alarms_time_is_never_usual() -> None:
    """A slow version for 50 minutes: left in, it would be the usual one."""
    story = Story(of(Kind(milliseconds=400))).until(ON + 3_000)
    assert the(story.health(), Question.LATENCY).verdict is Verdict.PASS
    story.exclude = ((ON, float("inf")),)
    told = the(story.health(), Question.LATENCY)
    assert told.verdict is Verdict.FAIL
    assert told.usual == pytest.approx(21, rel=0.1)


def test_what_was_usual_is_remembered_through_a_long_trouble() -> None:
    story = Story(lambda v, s, at: Kind() if at < ON else None if s == DE else Kind(milliseconds=400))
    story.health()
    for now in (ON + 1_800, ON + 3_000, ON + 3_900):
        story.until(now)
        story.exclude = ((ON - 60, now),)
        story.windows = {key: {at: one for at, one in mine.items() if at >= now - 3_600} for key, mine in story.windows.items()}
        health = story.health()
        assert the(health, Question.LATENCY).verdict is Verdict.FAIL
        assert the(health, Question.SILENT, DE).verdict is Verdict.FAIL
    assert not any(story.windows[Key(ENDPOINT, "v3", False, DE)])
    assert the(judge(story.evidence), Question.LATENCY).verdict is Verdict.INCONCLUSIVE, "who was not there does not know"


def test_proof_that_it_is_well_again() -> None:
    end = ON + 300

    def broken(variant: str, name: str, at: float) -> Kind | None:
        return Kind(errors=1.0) if name == DE and ON < at < end else Kind()

    story = Story(broken).until(end)
    assert proven(story.evidence, Question.ERRORS, ["", DE], ON)[DE] == 0
    assert proven(story.evidence, Question.ERRORS, [DE], end) == {DE: 0}, "nothing came since"
    story.until(end + 100)
    found = proven(story.evidence, Question.ERRORS, ["", DE, "language=xx"], end)
    assert found[DE] >= 60
    assert found[""] > 4_000
    assert found["language=xx"] == 0


def test_proof_counts_distinct_inputs() -> None:
    end = ON + 120

    def broken(variant: str, name: str, at: float) -> Kind | None:
        return Kind(collapsed=True) if ON < at < end else Kind(inputs=12)

    story = Story(broken).until(end)
    assert proven(story.evidence, Question.IDENTICAL, [DE], ON + 10) == {DE: 0}
    story.until(end + 200)
    assert 2 <= proven(story.evidence, Question.IDENTICAL, [DE], end)[DE] <= 12
